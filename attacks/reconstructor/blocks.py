"""A symmetric positive definite system too large to be held at once: Cholesky's factorisation by panels of rows.

Of K = L Lᵀ only L is kept, and of it what lies on and below the diagonal, half of a square: a panel is rows start … stop up to column stop.
A panel is made from the panels above it (left-looking), so each row of K is asked for once. Where not even L fits beside the work, it lies
in the machine's memory and its panels are fetched when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from bench.memory import fitting

PANEL = 40  # bytes of work a number of a panel: float32 distances and their exponentials, float64 ones, a fetched panel
LEAST = 512  # rows of a panel, where all of L stays beside it


class Plan(NamedTuple):
    """How a system is cut."""

    rows: int  # of a panel
    kept: str  # where L lies: "device", or "cpu"


def plan(size: int, columns: int, memory: int) -> Plan:
    """The largest panels of a system of that size and so many right-hand sides that fit in so many bytes."""
    left = memory - 24 * size * columns
    beside = left - 4 * size * (size + 1)
    if beside >= PANEL * size * min(size, LEAST):
        return Plan(min(size, beside // (PANEL * size)), "device")
    return Plan(max(1, min(size, left // (PANEL * size))), "cpu")


def solve(block: Callable[[slice, slice], Tensor], right: Float[Tensor, "s d"], memory: int) -> Float[Tensor, "s d"]:
    """K⁻¹ right, in float64; where memory runs out all the same, in smaller panels.

    Args:
        block: gives K at some rows and columns, float64, on the device of ``right``.
        memory: bytes that it may take.

    Raises:
        torch.linalg.LinAlgError: K is not positive definite.
    """
    cut = plan(len(right), right.shape[1], memory)
    kept = right.device if cut.kept == "device" else torch.device("cpu")
    return fitting(lambda rows: _solve(block, right, rows, kept), cut.rows)


def _solve(block: Callable[[slice, slice], Tensor], right: Tensor, rows: int, kept: torch.device) -> Tensor:
    parts = [slice(start, min(start + rows, len(right))) for start in range(0, len(right), rows)]
    panels: list[Tensor] = []
    for own in parts:
        panel = block(own, slice(0, own.stop))
        for part, above in zip(parts, panels, strict=False):
            L = above.to(panel.device)
            here = panel[:, part].addmm_(panel[:, : part.start], L[:, : part.start].mT, alpha=-1)
            here.copy_(torch.linalg.solve_triangular(L[:, part].mT, here, upper=True, left=False))
        corner = panel[:, own].addmm_(panel[:, : own.start], panel[:, : own.start].mT, alpha=-1)
        corner.copy_(torch.linalg.cholesky(corner))
        panels.append(panel.to(kept))
    answer = right.clone()
    for part, panel in zip(parts, panels, strict=True):
        L = panel.to(right.device)
        answer[part].addmm_(L[:, : part.start], answer[: part.start], alpha=-1)
        answer[part] = torch.linalg.solve_triangular(L[:, part], answer[part], upper=False)
    for part, panel in zip(reversed(parts), reversed(panels), strict=True):
        L = panel.to(right.device)
        answer[part] = torch.linalg.solve_triangular(L[:, part].mT, answer[part], upper=True)
        answer[: part.start].addmm_(L[:, : part.start].mT, answer[part], alpha=-1)
    return answer
