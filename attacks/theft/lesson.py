"""What a thief learns from: images, and what the oracle, or somebody, said of them. And how far a network is from having learnt it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from bench.tracks.stealing import Release


@dataclass(frozen=True)
class Lesson:
    """Images and answers; leading dimensions (B thieves) may be added to all. What was not asked for is None."""

    images: Float[Tensor, "*b n c h w"]  # in [0, 1]
    labels: Int[Tensor, "*b n"] | None = None
    logits: Float[Tensor, "*b n k"] | None = None
    directions: Float[Tensor, "*b n r k"] | None = None
    gradients: Float[Tensor, "*b n r c h w"] | None = None  # of ⟨direction, outputs⟩ by the image

    def tensors(self) -> dict[str, Tensor]:
        """Those that there are, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def shape(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Lessons that share it can be stacked."""
        return tuple((name, tuple(value.shape)) for name, value in self.tensors().items())


SOURCES = ("held_out", "perturbed", "noise", "other_data")


def images_of(release: Release, source: str, count: int, noise: float, generator: torch.Generator) -> Float[Tensor, "n c h w"]:
    """What to ask about: ``count`` images at most.

    Args:
        source: ``held_out``, public images as they are, each once; ``perturbed``, public images plus Gaussian noise, over and over until
            there are ``count``; ``noise``, uniform noise; ``other_data``, images of another data set, as they are in the first round and
            perturbed in further ones.
        noise: standard deviation of the perturbation, in pixel values.
    """
    given = release.other_images if source == "other_data" else release.public_images
    low, high = release.input_range
    if source == "noise":
        return low + (high - low) * torch.rand(count, *given.shape[1:], generator=generator).to(given)
    rounds = 1 if source == "held_out" else -(-count // len(given))
    order = torch.cat([torch.randperm(len(given), generator=generator) for _ in range(rounds)])[:count]
    images = given[order.to(given.device)]
    plain = {"held_out": len(images), "perturbed": 0, "other_data": len(given)}[source]
    if plain < len(images):
        shifts = noise * torch.randn(images[plain:].shape, generator=generator).to(images)
        images = torch.cat([images[:plain], images[plain:] + shifts])
    return images.clamp(low, high)


def directions_of(logits: Float[Tensor, "n k"], jacobian: str, probes: int, generator: torch.Generator) -> Float[Tensor, "n r k"]:
    """Which sums of the outputs to take gradients of.

    Args:
        jacobian: ``random``, ``probes`` sums with normal weights; ``top``, the greatest output; ``full``, each output by itself.
    """
    n, k = logits.shape
    if jacobian == "random":
        return torch.randn(n, probes, k, generator=generator).to(logits) / k**0.5
    if jacobian == "top":
        return F.one_hot(logits.argmax(1), k).to(logits)[:, None]
    return torch.eye(k).to(logits).expand(n, k, k).contiguous()


def right_labels(release: Release, count: int, generator: torch.Generator) -> Lesson:
    """Public images under their right labels, ``count`` at most: what can be learnt without the owner."""
    chosen = torch.randperm(len(release.shadow_images), generator=generator)[:count].to(release.device)
    return Lesson(release.shadow_images[chosen], labels=release.shadow_labels[chosen])


def distance(
    lesson: Lesson, centred: Float[Tensor, "b n c h w"], network: Callable[[Tensor], Tensor], weight: float
) -> Float[Tensor, " b"]:
    """How far B networks are from their lessons, differentiable: cross-entropy of labels, or the squared error of outputs, plus ``weight``
    times that of gradients (Sobolev training, Czarnecki et al. 2017). Of scaled lessons, a network that answers 0 is at 1 from either.
    """
    if lesson.gradients is not None:
        centred = centred.detach().requires_grad_()
    out = network(centred)
    if lesson.logits is not None:
        error = ((out - lesson.logits) ** 2).mean((-2, -1))
    elif lesson.labels is None:
        raise ValueError("a lesson needs labels or outputs")
    elif out.shape[-1] == 1:
        error = F.binary_cross_entropy_with_logits(out[..., 0], lesson.labels.to(out), reduction="none").mean(-1)
    else:
        error = F.cross_entropy(out.movedim(-1, 1), lesson.labels, reduction="none").mean(-1)
    if lesson.gradients is None or lesson.directions is None:
        return error
    probes = lesson.directions.shape[-2]
    for r in range(probes):
        along = (out * lesson.directions[..., r, :]).sum()
        (own,) = torch.autograd.grad(along, centred, create_graph=True)
        error = error + weight / probes * ((own - lesson.gradients[:, :, r]) ** 2).sum((-3, -2, -1)).mean(-1)
    return error
