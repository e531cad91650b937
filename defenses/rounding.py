"""Rounded weights: the release that quantisation makes anyway, seen as a defence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Defense
from bench.registry import register


@register
@dataclass(frozen=True)
class Rounding(Defense):
    """Rounds each weight tensor to `bits` bits: 2^bits − 1 levels, uniform and symmetric about 0, the largest magnitude the outermost."""

    name: ClassVar[str] = "rounding"
    version: ClassVar[int | None] = 1
    against: ClassVar[tuple[str, ...]] = ("span_completed",)

    bits: int = 8  # 2 to 16

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"bits is a whole number from 2 to 16, not {self.bits!r}")

    def after_training(self, weights: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        levels = 2 ** (self.bits - 1) - 1
        rounded = {}
        for name, w in weights.items():
            unit = w.abs().max().clamp(min=torch.finfo(w.dtype).tiny) / levels
            rounded[name] = (w / unit).round() * unit
        return rounded
