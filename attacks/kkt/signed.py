"""Where a search with a signed multiplier for each output begins."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from bench.api import Architecture


def start(
    m: int, r: int, architecture: Architecture, generator: torch.Generator, sigma: float, sigma_lambda: float
) -> tuple[Float[Tensor, "m r"], Float[Tensor, " _"]]:
    """m candidates of r coordinates, of the same contrast in whatever dimensions, and a multiplier for each of their outputs; float64.

    Args:
        sigma: standard deviation of the candidates' pixels, centred.
        sigma_lambda: of the multipliers.
    """
    x = torch.randn(m, r, generator=generator, dtype=torch.float64)
    lam = torch.randn(m * architecture.outputs, generator=generator, dtype=torch.float64)
    return x * sigma * math.sqrt(math.prod(architecture.input_shape) / r), lam * sigma_lambda
