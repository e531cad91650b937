"""Mixup: the network never sees an image, only blends of two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Defense, Training
from bench.registry import register


@register
@dataclass(frozen=True)
class Mixup(Defense):
    """Blends each image of a step, and its label, with another one of the step, by a share drawn from Beta(`alpha`, `alpha`).

    As in the paper's code one share serves a whole step, and partners are drawn anew in each.
    """

    name: ClassVar[str] = "mixup"
    paper: ClassVar[str] = "Zhang, Cissé, Dauphin, Lopez-Paz: mixup: Beyond Empirical Risk Minimization. ICLR 2018"
    version: ClassVar[int | None] = 1
    against: ClassVar[tuple[str, ...]] = ("span_ica", "span_ica_change")  # blends lie in the span of the images

    alpha: float = 1.0  # 0 or more; the paper's for CIFAR-10; 0: no blends; the larger, the nearer to halves

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < math.inf:
            raise ValueError(f"alpha is a finite number from 0 on, not {self.alpha!r}")

    def training(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> Training:
        return Training(mixing=self.alpha)
