"""Peak signal-to-noise ratio of pairs of images."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

UNIT = "dB"
RANGE = (0.0, 100.0)
HIGHER_IS_BETTER = True

FLOOR = 1e-10  # mean squared error at which the ratio is cut off: 100 dB stands for equal images, in place of infinity


def psnr_pairs(a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
    """−10 log₁₀ of the mean squared error of ``a[i]`` against ``b[i]``, for images in [0, 1] (peak 1); at most 100 dB."""
    error = (a.to(torch.float64) - b.to(torch.float64)).square().flatten(1).mean(1)
    return (-10 * error.clamp_min(FLOOR).log10()).to(torch.promote_types(a.dtype, torch.float32))
