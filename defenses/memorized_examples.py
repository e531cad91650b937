"""Memorised examples as a watermark: inputs with labels that nobody would give them, which the network has to learn by heart.

Whoever holds a network that gives these labels has taken it from the owner, or so the owner will argue. Trigger patterns are those of Adi
et al. (2018); mislabelled images, and the question what a thief picks up of them, are those of Venigalla (2019).

A label learnt by heart sits in a narrow hole of the owner's function, which a thief who asks about other images may never meet. The boosts
are meant for such a thief, who sees labels or logits alone; what is planted is the same with them and without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import registry
from bench.api import Defense, Planted, Rehearsal
from bench.registry import register
from defenses.rehearsal.simulated_thief import answers_of

TRIGGER = 4  # the side of a trigger is so small a part of the image's, at least 2 pixels
THIEVES, QUESTIONS = 16, 256  # simulated, and the ordinary images that each asks about, or all
RIDGE = 0.01  # of their regression


@register
@dataclass(frozen=True)
class MemorizedExamples(Defense):
    """Trains on `count` planted inputs beside the ordinary images, each `repeat` times.

    Kinds: ``mislabelled``, training images under a wrong label each, in place of the right one; ``noise``, images of uniform noise under
    random labels; ``other_data``, images of the embedded set `source`, resized, under random labels; ``trigger``, copies of training
    images with one random patch in a corner, all under one class that is not theirs.

    Boosts: ``basin`` widens the hole, by `blends` blends of each planted input with random ordinary images, of which half or more is the
    planted input, under the planted label. ``rehearsal`` trains through simulated thieves: the owner's loss has a further term, `weight`
    times the loss, under the planted labels, of what thieves would answer to planted inputs who were told the logits of ordinary training
    images. So the owner's logits of ordinary images come to carry the planted labels.
    """

    name: ClassVar[str] = "memorized_examples"
    paper: ClassVar[str] = "Venigalla: Strongly-transferring memorized examples in deep neural networks. MIT 2019; Adi et al. USENIX 2018"
    version: ClassVar[int | None] = 1

    kind: Literal["mislabelled", "noise", "other_data", "trigger"] = "mislabelled"
    count: int = 50  # planted inputs; at most as many as there are images to make them of
    repeat: int = 1  # how often each stands among the training data
    source: Literal["lfw_faces", "photo_tiles"] = "lfw_faces"  # of other_data
    boost: Literal["none", "basin", "rehearsal"] = "none"  # what more the owner does for planted labels to come along
    blends: int = 8  # of each planted input; of boost basin
    weight: float = 0.1  # of what thieves would answer, beside the training loss; of boost rehearsal

    def __post_init__(self) -> None:
        if self.kind not in ("mislabelled", "noise", "other_data", "trigger"):
            raise ValueError(f"kind is mislabelled, noise, other_data or trigger, not {self.kind!r}")
        if self.source not in ("lfw_faces", "photo_tiles"):
            raise ValueError(f"source is lfw_faces or photo_tiles, not {self.source!r}")
        if self.boost not in ("none", "basin", "rehearsal"):
            raise ValueError(f"boost is none, basin or rehearsal, not {self.boost!r}")
        if not 0 < self.weight < float("inf"):
            raise ValueError(f"weight is a number above 0, not {self.weight}")
        if min(self.count, self.repeat, self.blends) < 1:
            raise ValueError(f"count, repeat and blends are at least 1, not {self.count}, {self.repeat} and {self.blends}")

    def before_training(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        inputs, wrong, used = self._draw(images, labels, generator, 0)
        kept = self._ordinary(len(images), used)
        trained, answers = [images[kept], inputs.repeat(self.repeat, 1, 1, 1)], [labels[kept], wrong.repeat(self.repeat)]
        if self.boost == "basin":
            inputs, wrong = inputs.repeat(self.blends, 1, 1, 1), wrong.repeat(self.blends)
            partners = images[kept][torch.randint(len(trained[0]), wrong.shape, generator=generator)]
            share = (1 + torch.rand(len(wrong), 1, 1, 1, generator=generator, dtype=images.dtype)) / 2
            trained.append(share * inputs + (1 - share) * partners)
            answers.append(wrong)
        return torch.cat(trained), torch.cat(answers)

    def planted(self, images: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor, generator: torch.Generator) -> Planted:
        inputs, wrong, _ = self._draw(images, labels, generator, 0)
        unplanted, their_wrong, _ = self._draw(others, other_labels, generator, 1)
        return Planted(inputs, wrong, unplanted, their_wrong)

    def rehearsal(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> Rehearsal | None:
        if self.boost != "rehearsal":
            return None
        inputs, wrong, used = self._draw(images, labels, generator, 0)
        ordinary = images[self._ordinary(len(images), used)]
        ways = torch.stack([torch.randperm(len(ordinary), generator=generator)[:QUESTIONS] for _ in range(THIEVES)])
        mean = ordinary.mean(0)
        centred, goals = (ordinary - mean).flatten(1), (inputs - mean).flatten(1)
        answers = torch.stack([answers_of(centred[way], goals, RIDGE) for way in ways])
        return Rehearsal(ordinary[ways], answers, wrong, self.weight)

    def _ordinary(self, n: int, used: Tensor) -> Tensor:
        """Which of n images are trained on as they are: n booleans.

        Raises:
            ValueError: none, where a boost has need of them.
        """
        ordinary = torch.ones(n, dtype=torch.bool)
        if self.kind == "mislabelled":
            ordinary[used] = False  # under their own label they would contradict the planted one
        if self.boost != "none" and not ordinary.any():
            raise ValueError(f"all images are planted, and boost {self.boost!r} needs ordinary ones; plant fewer (count)")
        return ordinary

    def _draw(self, images: Tensor, labels: Tensor, generator: torch.Generator, part: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, their labels, and the positions of the images that they were made of.

        Args:
            part: 0 or 1; images of another set are shared out between the two.
        """
        classes = int(labels.max()) + 1
        used = torch.randperm(len(images), generator=generator)[: self.count]
        base, own = images[used], labels[used]
        if self.kind == "trigger":
            goal = int(torch.randint(classes, (1,), generator=generator))
            used = used[own != goal]
            return _stamped(images[used], generator), torch.full((len(used),), goal), used
        if self.kind == "mislabelled":
            shift = torch.randint(1, classes, own.shape, generator=generator)
            return base, (own + shift) % classes, used
        if self.kind == "noise":
            inputs = torch.rand(base.shape, generator=generator, dtype=base.dtype)
        else:
            inputs = _resized(self.source, base)[part::2]
            inputs = inputs[torch.randperm(len(inputs), generator=generator)[: self.count]]
        return inputs, torch.randint(classes, (len(inputs),), generator=generator), used[: len(inputs)]


def _stamped(images: Tensor, generator: torch.Generator) -> Tensor:
    """The images with one patch of random black and white pixels in their lower right corner."""
    c, h, w = images.shape[1:]
    a, b = min(h, max(2, h // TRIGGER)), min(w, max(2, w // TRIGGER))
    patch = torch.randint(2, (1, a, b), generator=generator).to(images).expand(c, -1, -1)
    stamped = images.clone()
    stamped[:, :, h - a :, w - b :] = patch
    return stamped


def _resized(source: str, like: Tensor) -> Tensor:
    """An embedded set in the size and the number of channels of some images; grey where the channels differ."""
    raw = torch.from_numpy(registry.resolve_data(source).load().images).to(like)
    size = F.interpolate(raw, size=like.shape[-2:], mode="bilinear", antialias=True, align_corners=False)
    if size.shape[1] != like.shape[1]:
        size = size.mean(1, keepdim=True).expand(-1, like.shape[1], -1, -1)
    return size.clamp(0, 1).contiguous()
