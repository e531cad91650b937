"""A matrix of low rank of which only intervals are known: rounded weights, and weights that were set to zero because they were small.

Whoever rounds a weight tells the half step around it, and whoever prunes tells that it was no larger than the smallest one left. Sums of n
training images have rank n, which the rounded ones have not: the matrix of that rank that lies within all the intervals is the one that
was rounded, up to what they leave open. So the errors of hundreds of units average out.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

MOST = 2**15  # steps from 0 to the largest entry of a row; with more of them a row is not rounded
WHOLE = 0.02  # distance from a whole number of steps within which an entry is on one
PRUNED = 0.02  # a matrix of fewer zeros than this share is not pruned


def intervals(rows: Float[Tensor, "u d"]) -> tuple[Float[Tensor, "u d"], Float[Tensor, "u d"]]:
    """The lowest and the highest value that an entry may have had, by the entries alone; the entry itself where nothing was done."""
    steps = torch.stack([_step(row) for row in rows])
    if bool((steps >= 0).all()):
        half = steps[:, None] / 2
        return rows - half, rows + half
    zero = rows == 0
    if float(zero.double().mean()) <= PRUNED or bool(zero.all()):
        return rows, rows
    least = rows[~zero].abs().min()
    return torch.where(zero, -least, rows), torch.where(zero, least, rows)


def _step(row: Float[Tensor, " d"]) -> Float[Tensor, ""]:
    """Between the levels that a row was rounded to; 0 of a row of zeros, −1 of one that was not rounded."""
    levels = row.unique()
    if len(levels) < 2:
        return row.new_zeros(()) if not bool(levels.any()) else row.new_full((), -1.0)
    step = (levels[1:] - levels[:-1]).min()
    steps = levels / step
    rounded = bool(steps.abs().max() <= MOST) and bool(((steps - steps.round()).abs() < WHOLE).all())
    return step if rounded else row.new_full((), -1.0)


def completed(rows: Float[Tensor, "u d"], rank: int, rounds: int) -> Float[Tensor, "u d"]:
    """The rows, float64, moved within their `intervals` towards a matrix of that rank: alternating projections onto both sets."""
    rows = rows.double()
    low, high = intervals(rows)
    if bool((low == high).all()):
        return rows
    found = rows
    for _ in range(rounds):
        found = _of_rank(found, rank).clamp(low, high)
    return _of_rank(found, rank)


def _of_rank(rows: Float[Tensor, "u d"], rank: int) -> Float[Tensor, "u d"]:
    """The nearest matrix of that rank, by the Gram matrix of the shorter side."""
    wide = rows.shape[1] > rows.shape[0]
    vectors = torch.linalg.eigh(rows @ rows.mT if wide else rows.mT @ rows)[1][:, -rank:]
    return vectors @ (vectors.mT @ rows) if wide else rows @ vectors @ vectors.mT
