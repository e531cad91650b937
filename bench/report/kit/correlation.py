"""Rank correlation within a cell, and its mean over seeds: cells differ in scale, so that ranks are never taken across them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.intervals import Interval, t_interval
from bench.metrics.significance import direction
from bench.report.kit.text import NONE, signed

AT_LEAST = 3  # pairs; two points always lie on a line


def spearman(x: ArrayLike, y: ArrayLike) -> float | None:
    """Spearman's ρ in [−1, 1], ties by their mean rank, over the pairs of which both numbers are finite.

    None where there are fewer than three such pairs, or one side is constant.
    """
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if len(a) < AT_LEAST or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(_ranks(a), _ranks(b))[1, 0])


def quarter(x: ArrayLike) -> np.ndarray:
    """For each number its quarter, 0 … 3, by rank; equal numbers share one."""
    rank = _ranks(np.asarray(x, dtype=float))
    return np.minimum((4 * (rank - 0.5) / len(rank)).astype(int), 3)


def _ranks(x: np.ndarray) -> np.ndarray:
    """1 … n; of equal numbers the mean of their ranks. ``scipy.stats.rankdata`` is the same, behind an import of most of a second."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    return (count.cumsum() - (count - 1) / 2)[place]


def over_seeds(values: Sequence[float | None], bounds: float = 1.0) -> Interval | None:
    """Mean over the seeds that have a value, with Student's t interval, cut to ±``bounds``; of a single seed the interval is all of it."""
    known = _known(values)
    if not known:
        return None
    mean, low, high = t_interval(known)
    return Interval(mean, max(-bounds, low), min(bounds, high))


def apart(values: Sequence[float | None]) -> int | None:
    """1 or −1 where the mean over the seeds that have a value is above or below 0, 0 where neither; None where fewer than two have one."""
    return direction(_known(values))


def shown(values: Sequence[float | None], bounds: float = 1.0, decimals: int = 2) -> str:
    """``−0.41 [−0.60, −0.22]``: the mean over seeds; without an interval where only one seed has a value."""
    found = over_seeds(values, bounds)
    if found is None:
        return NONE
    estimate, low, high = (signed(value, decimals) for value in found)
    if len(_known(values)) == 1:
        return f"{estimate} (one seed)" if len(values) == 1 else f"{estimate} (1 of {len(values)} seeds; the others have none)"
    return f"{estimate} [{low}, {high}]"


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and not math.isnan(value)]
