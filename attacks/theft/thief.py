"""The base of attacks that copy a network by asking it, and the training of the copies: Adam on minibatches, many thieves in one stack."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from attacks.theft.lesson import SOURCES, Lesson, distance, images_of
from bench.api import Architecture, Attack
from bench.tracks.stealing import Network, Release


@dataclass(frozen=True)
class Theft(Attack):
    """Asks about images, then trains a network of its own on the answers. Subclasses say what they ask."""

    track: ClassVar[str] = "stealing"

    queries: int = 2000  # images asked about at most; held_out has as many as there are public images
    source: Literal["held_out", "perturbed", "noise", "other_data"] = "held_out"
    noise: float = 0.1  # standard deviation of the perturbation, in pixel values
    model: Literal["same", "mlp", "cnn"] = "same"  # the thief's architecture: the owner's, or one of its own
    hidden: tuple[int, ...] = (256,)  # of an architecture of its own
    channels: tuple[int, ...] = (16, 32)  # of a cnn of its own; kernels 3×3, halved by stride
    epochs: int = 60  # passes over the answers
    batch_size: int = 64
    lr: float = 1e-3  # falls to 0 in a straight line

    def __post_init__(self) -> None:
        for name, known in (("source", SOURCES), ("model", ("same", "mlp", "cnn"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}")
        if min(self.queries, self.epochs, self.batch_size) < 1 or self.lr <= 0:
            raise ValueError("queries, epochs and batch_size are at least 1, and lr is above 0")

    def ask(self, release: Release, generator: torch.Generator) -> Lesson:
        """What the thief asks, with the answers."""
        raise NotImplementedError

    def questions(self, release: Release, generator: torch.Generator) -> Tensor:
        """The images to ask about."""
        return images_of(release, self.source, self.queries, self.noise, generator)

    def architecture(self, owner: Architecture) -> Architecture:
        """The thief's."""
        if self.model == "same":
            return owner
        convolutions: dict[str, Any] = {"channels": (), "kernel": 0, "pooling": ""}
        if self.model == "cnn":
            convolutions = {"channels": tuple(self.channels), "kernel": 3, "pooling": "stride"}
        return dataclasses.replace(owner, model=self.model, hidden=tuple(self.hidden), **convolutions)

    def memory(self, release: Release) -> int:
        """Bytes: images, answers and the graph of a minibatch; and the network with what its training keeps of it."""
        c, h, w = release.architecture.input_shape
        network = release.networks.start(self.architecture(release.architecture), torch.Generator())
        return 4 * c * h * w * (4 * self.queries + 64 * self.batch_size) + 80 * sum(v.numel() for v in network.values())

    def reconstruct(self, release: Release, generator: torch.Generator) -> Network:
        return self.reconstruct_batch([self], [release], [generator])[0]

    @classmethod
    def reconstruct_batch(
        cls, attacks: Sequence[Any], releases: Sequence[Release], generators: Sequence[torch.Generator]
    ) -> Sequence[Network]:
        return taught(attacks, cls.lessons(attacks, releases, generators), releases, generators)

    @classmethod
    def lessons(cls, attacks: Sequence[Any], releases: Sequence[Release], generators: Sequence[torch.Generator]) -> list[Lesson]:
        """What each run learns from; override it where that takes networks of its own, to train them in a stack too."""
        return [a.ask(r, g) for a, r, g in zip(attacks, releases, generators, strict=True)]


def taught(
    attacks: Sequence[Any], lessons: Sequence[Lesson], releases: Sequence[Release], generators: Sequence[torch.Generator]
) -> list[Network]:
    """A network for each run, trained on its lesson; those of one shape go together."""
    alike: dict[Any, list[int]] = {}
    for i, (attack, release, lesson) in enumerate(zip(attacks, releases, lessons, strict=True)):
        key = (attack.architecture(release.architecture), lesson.shape(), attack.epochs, attack.batch_size, attack.lr, _weight(attack))
        alike.setdefault(key, []).append(i)
    answers: dict[int, Network] = {}
    for members in alike.values():
        trained = _train(
            attacks[members[0]], [lessons[i] for i in members], [releases[i] for i in members], [generators[i] for i in members]
        )
        answers.update(zip(members, trained, strict=True))
    return [answers[i] for i in range(len(attacks))]


def _weight(attack: Theft) -> float:
    """Of the gradients' error; an attack that asks for gradients has it as a hyperparameter."""
    return float(getattr(attack, "weight", 0.0))


def _train(attack: Theft, lessons: Sequence[Lesson], releases: Sequence[Release], generators: Sequence[torch.Generator]) -> list[Network]:
    """One network a lesson; the lessons are of one shape."""
    net, networks = attack.architecture(releases[0].architecture), releases[0].networks
    scaled, logit_scales = zip(*(_scaled(lesson) for lesson in lessons), strict=True)
    whole = {name: torch.stack([lesson.tensors()[name] for lesson in scaled]) for name in scaled[0].tensors()}
    means = whole["images"].mean(1, keepdim=True)
    centred = whole["images"] - means
    drawn = [networks.start(net, generator) for generator in generators]
    weights = {name: torch.stack([one[name] for one in drawn]).to(centred).requires_grad_() for name in drawn[0]}
    steps = attack.epochs * -(-centred.shape[1] // attack.batch_size)
    optimizer = torch.optim.Adam(list(weights.values()), lr=attack.lr, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    rows = torch.arange(len(lessons), device=centred.device)[:, None]
    error = centred.new_zeros(len(lessons))
    for _ in range(attack.epochs):
        order = torch.stack([torch.randperm(centred.shape[1], generator=g) for g in generators]).to(centred.device)
        error = torch.zeros_like(error)
        for part in order.split(attack.batch_size, 1):
            some = Lesson(**{name: value[rows, part] for name, value in whole.items()})
            one = distance(some, centred[rows, part], lambda x: networks.forward(net, weights, x), _weight(attack))
            for w, gradient in zip(weights.values(), torch.autograd.grad(one.sum(), list(weights.values())), strict=True):
                w.grad = gradient.contiguous()  # the fused step takes weight and gradient for laid out alike
            optimizer.step()
            schedule.step()
            error += one.detach() * part.shape[1] / centred.shape[1]
    return [
        Network(net, _unscaled(net, {name: w[i].detach() for name, w in weights.items()}, logit_scales[i]), means[i, 0], float(error[i]))
        for i in range(len(lessons))
    ]


def _scaled(lesson: Lesson) -> tuple[Lesson, float]:
    """The lesson with outputs, and gradients by a factor of their own through the directions, at a mean square of 1; and the scale.

    So neither the temperature of the owner's outputs nor the size of an image sets how the two errors are weighed.
    """
    if lesson.logits is None:
        return lesson, 1.0
    scale = float(lesson.logits.square().mean().sqrt()) or 1.0
    logits = lesson.logits / scale
    if lesson.gradients is None or lesson.directions is None:
        return dataclasses.replace(lesson, logits=logits), scale
    # ∇⟨d, f⟩ = scale · ∇⟨d, f / scale⟩: dividing direction and gradient by one more number leaves them true of the scaled network
    steep = float((lesson.gradients / scale).square().sum((-3, -2, -1)).mean().sqrt()) or 1.0
    gradients, directions = lesson.gradients / (scale * steep), lesson.directions / steep
    return dataclasses.replace(lesson, logits=logits, gradients=gradients, directions=directions), scale


def _unscaled(net: Architecture, weights: dict[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The network with its outputs times a number."""
    last = len(net.channels) + len(net.hidden)
    return {name: w * scale if name.startswith(f"layers.{last}.") else w for name, w in weights.items()}
