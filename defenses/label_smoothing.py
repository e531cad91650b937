"""Label smoothing: the network is not asked to be sure, so margins end at a finite value that all images share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Defense, Training
from bench.registry import register


@register
@dataclass(frozen=True)
class LabelSmoothing(Defense):
    """Spreads a `share` of each label evenly over all classes."""

    name: ClassVar[str] = "label_smoothing"
    paper: ClassVar[str] = "Szegedy et al.: Rethinking the Inception Architecture for Computer Vision. CVPR 2016"
    version: ClassVar[int | None] = 1
    against: ClassVar[tuple[str, ...]] = ("span_ica", "span_ica_change")  # they take no label and no loss for granted

    share: float = 0.1  # 0 or more, below 1

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(f"share is a number from 0 on and below 1, not {self.share!r}")

    def training(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> Training:
        return Training(smoothing=self.share)
