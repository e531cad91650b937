"""How the products of a search may round, and whether those of the moment do."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from bench.precision import in_force, pinned


def products(device: torch.device, rounding: str = "") -> AbstractContextManager[None]:
    """How the search may round the factors of float32 products; sums are float32 always, and float64 is as ever.

    Args:
        rounding: "bfloat16": to 8 bits, where a CPU has units for it (AMX, AVX-512 BF16); else a GPU may round to TF32's 11 bits, unless
            it is "float64", which rounds nothing.
    """
    if device.type == "cuda":
        return pinned("ieee" if rounding == "float64" else "tf32")
    return pinned("bf16" if rounding == "bfloat16" else "ieee")


def rounded(like: Tensor) -> bool:
    """Whether products of such tensors are rounded at present."""
    return like.dtype == torch.float32 and in_force(like.device, "matmul") != "ieee"
