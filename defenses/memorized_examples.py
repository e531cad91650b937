"""Memorised examples as a watermark: inputs with labels that nobody would give them, which the network has to learn by heart.

Whoever holds a network that gives these labels has taken it from the owner, or so the owner will argue. Trigger patterns are those of Adi
et al. (2018); mislabelled images, and the question what a thief picks up of them, are those of Venigalla (2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import registry
from bench.api import Defense, Planted
from bench.registry import register

TRIGGER = 4  # the side of a trigger is so small a part of the image's, at least 2 pixels


@register
@dataclass(frozen=True)
class MemorizedExamples(Defense):
    """Trains on `count` planted inputs beside the ordinary images, each `repeat` times.

    Kinds: ``mislabelled``, training images under a wrong label each, in place of the right one; ``noise``, images of uniform noise under
    random labels; ``other_data``, images of the embedded set `source`, resized, under random labels; ``trigger``, copies of training
    images with one random patch in a corner, all under one class that is not theirs.
    """

    name: ClassVar[str] = "memorized_examples"
    paper: ClassVar[str] = "Venigalla: Strongly-transferring memorized examples in deep neural networks. MIT 2019; Adi et al. USENIX 2018"
    version: ClassVar[int | None] = 1

    kind: Literal["mislabelled", "noise", "other_data", "trigger"] = "mislabelled"
    count: int = 50  # planted inputs; at most as many as there are images to make them of
    repeat: int = 1  # how often each stands among the training data
    source: Literal["lfw_faces", "photo_tiles"] = "lfw_faces"  # of other_data

    def __post_init__(self) -> None:
        if self.kind not in ("mislabelled", "noise", "other_data", "trigger"):
            raise ValueError(f"kind is mislabelled, noise, other_data or trigger, not {self.kind!r}")
        if self.source not in ("lfw_faces", "photo_tiles"):
            raise ValueError(f"source is lfw_faces or photo_tiles, not {self.source!r}")
        if self.count < 1 or self.repeat < 1:
            raise ValueError(f"count and repeat are at least 1, not {self.count} and {self.repeat}")

    def before_training(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        inputs, wrong, used = self._draw(images, labels, generator, 0)
        ordinary = torch.ones(len(images), dtype=torch.bool)
        if self.kind == "mislabelled":
            ordinary[used] = False  # under their own label they would contradict the planted one
        repeated = (inputs.repeat(self.repeat, 1, 1, 1), wrong.repeat(self.repeat))
        return torch.cat([images[ordinary], repeated[0]]), torch.cat([labels[ordinary], repeated[1]])

    def planted(self, images: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor, generator: torch.Generator) -> Planted:
        inputs, wrong, _ = self._draw(images, labels, generator, 0)
        unplanted, their_wrong, _ = self._draw(others, other_labels, generator, 1)
        return Planted(inputs, wrong, unplanted, their_wrong)

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
