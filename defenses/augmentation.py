"""Augmentation: each image is seen shifted and mirrored, so no pixel stands still to be remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.api import Defense, Training
from bench.registry import register


@register
@dataclass(frozen=True)
class Augmentation(Defense):
    """Shows in each step one of `variants` of every image, each shifted by up to `shift` pixels, and half of them mirrored if `flip`.

    The variants of an image are drawn once; which of them a step shows is drawn in each. Many come near to the usual practice, a shift
    drawn in every step (He et al.: 4 pixels, and mirrored); few keep training in the span of what is shown, which is many times faster.
    What a shift uncovers repeats the edge.
    """

    name: ClassVar[str] = "augmentation"
    paper: ClassVar[str] = "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition (section 4.2). CVPR 2016"
    version: ClassVar[int | None] = 1

    shift: int = 4  # pixels at most, up or down, left or right; 0 or more, less than a side
    flip: bool = True  # false for digits and letters, which mirrored are something else
    variants: int = 8  # of each image, at least 1

    def __post_init__(self) -> None:
        if self.shift < 0 or self.variants < 1:
            raise ValueError(f"shift is at least 0 and variants at least 1, not {self.shift!r} and {self.variants!r}")

    def training(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> Training:
        h, w = images.shape[-2:]
        if self.shift >= min(h, w):
            raise ValueError(f"shift is less than a side of the images, which are {h}×{w}, not {self.shift}")
        padded = F.pad(images, [self.shift] * 4, mode="replicate")
        drawn = []
        for _ in range(self.variants):
            down, right = torch.randint(2 * self.shift + 1, (2, len(images)), generator=generator).tolist()
            shown = torch.stack([image[:, y : y + h, x : x + w] for image, y, x in zip(padded, down, right, strict=True)])
            mirrored = torch.rand(len(images), generator=generator) < (0.5 if self.flip else 0)
            drawn.append(torch.where(mirrored.view(-1, 1, 1, 1), shown.flip(-1), shown))
        return Training(variants=torch.stack(drawn))
