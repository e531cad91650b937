"""Is a mean over a few seeds above or below a level: Student's t test, Holm's correction for many tests, and how many seeds would tell.

The t test takes the values of the seeds for draws of a normal distribution, which cannot be checked with a handful. It is used all the
same, since a sign-flip test of k seeds cannot fall below 2**(1 − k), and five seeds could then never pass a correction. Where all values
are equal a t test has no meaning, and the sign-flip test, exact, takes its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import BenchError
from bench.metrics.intervals import Interval, t_interval

SAME = 1e-9  # spreads below this, in the values' unit, are rounding
MOST_SEEDS = 1000


def one_mean(values: ArrayLike, level: float = 0.0) -> tuple[Interval, float]:
    """The mean of a few values with its 95 % t interval, and the two-sided p-value of its being ``level``. p is in [0, 1].

    A single value has an endless interval and p = 1. Of k equal values p is 2**(1 − k), or 1 if they are at the level.

    Raises:
        BenchError: no values, or NaN or infinity among them.
    """
    from scipy.special import stdtr

    interval = t_interval(values)
    x = np.asarray(values, dtype=np.float64).ravel()
    k, distance = len(x), interval.estimate - level
    if k == 1:
        return interval, 1.0
    spread = float(x.std(ddof=1))
    if spread < SAME:
        return Interval(interval.estimate, interval.estimate, interval.estimate), 1.0 if abs(distance) < SAME else 2.0 ** (1 - k)
    return interval, float(2 * stdtr(k - 1, -abs(distance) / np.sqrt(x.var(ddof=1) / k)))  # scipy.stats.ttest_1samp, sooner imported


def direction(values: ArrayLike, alpha: float = 0.05) -> int | None:
    """1 or −1 where the mean of a few values lies above or below 0 at that level of significance, 0 where neither; None of fewer than two.

    By `one_mean`: a few equal values prove little, although their t interval has no width.

    Raises:
        BenchError: NaN or infinity among the values.
    """
    if np.size(values) < 2:
        return None
    mean, p_value = one_mean(values)
    return 0 if p_value > alpha else 1 if mean.estimate > 0 else -1


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): p-values such that rejecting those up to α errs at all with a chance of at most α.

    The i-th smallest of m is multiplied by m − i + 1, never below one that was smaller, at most 1. The order of the answer is that given.
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected


def seeds_needed(values: ArrayLike, level: float, alpha: float, power: float = 0.8) -> int | None:
    """How many seeds would tell the mean from ``level`` with that power, if mean and spread stay as they are among these values.

    The smallest n with t(n − 1, 1 − α/2) + t(n − 1, power) ≤ √n·|mean − level| / spread, the usual approximation; of equal values the
    smallest n at which the sign-flip test can fall to α.

    Args:
        alpha: the level of significance that one test has to meet, in (0, 1).

    Returns:
        None: no number of seeds would, for the mean is at the level; or more than ``MOST_SEEDS``.

    Raises:
        BenchError: fewer than two values, or an alpha outside (0, 1).
    """
    from scipy.special import stdtrit

    x = np.asarray(values, dtype=np.float64).ravel()
    if len(x) < 2 or not 0 < alpha < 1:
        raise BenchError("number of seeds cannot be told", expected="two values or more, alpha in (0, 1)", got=f"{len(x)} values, {alpha}")
    distance, spread = abs(float(x.mean()) - level), float(x.std(ddof=1))
    if distance < SAME:
        return None
    if spread < SAME:
        return math.ceil(1 - math.log2(alpha))
    n = np.arange(2, MOST_SEEDS + 1)
    enough = stdtrit(n - 1, 1 - alpha / 2) + stdtrit(n - 1, power) <= np.sqrt(n) * distance / spread
    return int(n[enough.argmax()]) if enough.any() else None
