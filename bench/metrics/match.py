"""Who is compared with whom: one-to-one by least total cost, or each with its nearest.

One-to-one is the headline of the benchmark: an image that resembles everything a little can then serve once only.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.errors import BenchError


def one_to_one(cost: Float[Tensor, "m n"]) -> Int[Tensor, " m"]:
    """For each row its column in the assignment of least total cost (Hungarian method); each column serves once at most.

    Args:
        cost: finite, any shape, any unit. With fewer columns than rows, m − n rows stay without.

    Returns:
        The column of each row, or −1; on the CPU.

    Raises:
        BenchError: a cost is NaN or infinite.
    """
    from scipy.optimize import linear_sum_assignment

    _require_finite(cost)
    rows, columns = linear_sum_assignment(cost.detach().cpu().double().numpy())
    partner = torch.full((cost.shape[0],), -1, dtype=torch.int64)
    partner[torch.from_numpy(rows)] = torch.from_numpy(columns)
    return partner


def nearest(cost: Float[Tensor, "m n"]) -> Int[Tensor, " m"]:
    """For each row the column of least cost (the first of equals), or −1 without columns; on the CPU. Raises as ``one_to_one``."""
    _require_finite(cost)
    if cost.shape[1] == 0:
        return torch.full((cost.shape[0],), -1, dtype=torch.int64)
    return cost.detach().argmin(1).cpu()


def _require_finite(cost: Tensor) -> None:
    bad = int((~torch.isfinite(cost)).sum())
    if bad:
        raise BenchError(
            "costs of a matching are not finite",
            expected="finite numbers",
            got=f"{bad} of {cost.numel()} are NaN or infinite",
            hint="check the images for NaN before they are compared",
        )
