"""Quantised weights: the whole numbers of few bits that a network is shipped in, with a scale for each tensor or for each unit.

`rounding` is the case of one scale a tensor, symmetric about 0. Here a scale may belong to a row, a unit's incoming weights, as inference
libraries have it: a unit of small weights then keeps as many digits as one of large weights. With a scale a tensor the two are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from bench.api import Defense
from bench.registry import register


@register
@dataclass(frozen=True)
class Quantization(Defense):
    """Rounds the weights to 2^bits − 1 levels, symmetric about 0, of which the outermost is the largest magnitude of a tensor, or of a row.

    An error is at most half a step. A bias has one scale: its rows are single numbers.
    """

    name: ClassVar[str] = "quantization"
    paper: ClassVar[str] = "Jacob et al.: Quantization and training of neural networks for integer-arithmetic-only inference. CVPR 2018"
    version: ClassVar[int | None] = 1
    against: ClassVar[tuple[str, ...]] = ("span_completed",)

    bits: int = 8  # 2 to 16
    per: Literal["tensor", "row"] = "row"  # what shares a scale

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"bits is a whole number from 2 to 16, not {self.bits!r}")
        if self.per not in ("tensor", "row"):
            raise ValueError(f"per is tensor or row, not {self.per!r}")

    def after_training(self, weights: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        levels = 2 ** (self.bits - 1) - 1
        rounded = {}
        for name, w in weights.items():
            by_row = self.per == "row" and w.ndim > 1
            largest = w.flatten(1).abs().amax(1).view(-1, *[1] * (w.ndim - 1)) if by_row else w.abs().max()
            step = largest.clamp(min=torch.finfo(w.dtype).tiny * levels) / levels
            rounded[name] = (w / step).round() * step
        return rounded
