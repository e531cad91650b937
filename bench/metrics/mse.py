"""Mean squared error of pairs of images."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from bench.api import Metric
from bench.registry import register


@register
class Mse(Metric):
    """Mean squared error of the pixels."""

    name: ClassVar[str] = "mse"
    label: ClassVar[str] = "MSE"
    range: ClassVar[tuple[float, float | None]] = (0.0, 1.0)
    better: ClassVar[str] = "lower"
    worst: ClassVar[float | None] = 1.0
    statistics: ClassVar[tuple[str, ...]] = ("mean",)
    decimals: ClassVar[int] = 5
    shown: ClassVar[int] = 4

    def pairs(self, a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Mean of ``(a[i] − b[i])²`` over channels and pixels, for images in [0, 1]."""
        return ((a - b) ** 2).flatten(1).mean(1)
