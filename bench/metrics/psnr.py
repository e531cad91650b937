"""Peak signal-to-noise ratio of pairs of images."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from bench.api import Metric
from bench.registry import register

FLOOR = 1e-10  # mean squared error at which the ratio is cut off: 100 dB stands for equal images, in place of infinity


@register
class Psnr(Metric):
    """Peak signal-to-noise ratio."""

    name: ClassVar[str] = "psnr"
    label: ClassVar[str] = "PSNR"
    unit: ClassVar[str] = "dB"
    range: ClassVar[tuple[float, float | None]] = (0.0, 100.0)
    better: ClassVar[str] = "higher"
    decimals: ClassVar[int] = 2
    shown: ClassVar[int] = 1

    def pairs(self, a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """See `psnr_pairs`."""
        return psnr_pairs(a, b)


def psnr_pairs(a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
    """−10 log₁₀ of the mean squared error of ``a[i]`` against ``b[i]``, for images in [0, 1] (peak 1); at most 100 dB."""
    error = (a.to(torch.float64) - b.to(torch.float64)).square().flatten(1).mean(1)
    return (-10 * error.clamp_min(FLOOR).log10()).to(torch.promote_types(a.dtype, torch.float32))
