"""Dropout: no unit can rely on another to remember an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Defense, Training
from bench.registry import register


@register
@dataclass(frozen=True)
class Dropout(Defense):
    """Switches each unit of the fully connected hidden layers off by a chance of `rate`, anew for each image and step."""

    name: ClassVar[str] = "dropout"
    paper: ClassVar[str] = "Srivastava et al.: Dropout: A Simple Way to Prevent Neural Networks from Overfitting. JMLR 2014"
    version: ClassVar[int | None] = 1
    against: ClassVar[tuple[str, ...]] = ("span_ica", "span_ica_change")  # the span is that of all units

    rate: float = 0.5  # 0 or more, below 1

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise ValueError(f"rate is a number from 0 on and below 1, not {self.rate!r}")

    def training(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> Training:
        return Training(dropout=self.rate)
