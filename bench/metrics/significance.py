"""Is a mean over a few seeds above a level, near it, or the least of several above it; Holm's correction; what so few seeds can show.

The t test takes the values of the seeds for draws of a normal distribution, which cannot be checked with a handful. It is used all the
same, since a sign-flip test of k seeds cannot fall below 2**(1 − k), and five seeds could then never pass a correction. Where all values
are equal a t test has no meaning, and the sign-flip test, exact, takes its place.

**The strongest of several controls.** Let δ_c be the mean of attack minus control c, and θ = min δ_c, what is left beside the strongest
one. Picking the best control of each seed would be unfair to the attack (of two equal controls the better one of a seed is better than
either), picking the best on average and testing it alone unfair to the controls. So each is tested by itself:

- θ > level says that *every* δ_c is above it. Its denial is a union, "some δ_c is not", and the intersection–union test (Berger 1982)
  rejects it where every single test does: p = max p_c. Whichever δ_c is not above the level, its own test errs with a chance of α at
  most, and all of them together err no more often. No correction is due, and many controls make no false win.
- θ < level says that *some* δ_c is below it. Its denial is an intersection, and so p = m · min p_c for m controls (Bonferroni).

``beside_the_least`` gives both together, two-sided: twice the lesser of the two. ``least_mean`` is the interval that belongs to it: its
low end is the least of the ends of the single intervals, its high end the least of theirs at 1 − (1 − level)/m. With one control both
are Student's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import BenchError
from bench.metrics.intervals import LEVEL, SAME, Interval, t_interval

POWER = 0.8  # with which an effect that could be shown is


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


def beside_the_least(lines: Sequence[ArrayLike], level: float = 0.0) -> tuple[float, bool]:
    """The two-sided p-value of the least of several means being ``level``, in [0, 1], and whether it rather lies above.

    Args:
        lines: of each comparison the values of its seeds; their numbers may differ.

    Raises:
        BenchError: no lines, no values, or NaN or infinity among them.
    """
    above, below = _all_above(lines, level), _some_below(lines, level)
    return min(1.0, 2 * min(above, below)), above < below


def least_mean(lines: Sequence[ArrayLike], interval: Callable[[int, float], Interval] | None = None, *, level: float = LEVEL) -> Interval:
    """The least of several means, with the interval that belongs to ``beside_the_least``.

    Args:
        interval: of the line of that place, at that level; Student's t where there is none.

    Raises:
        BenchError: no lines, no values, or NaN or infinity among them.
    """
    _some(lines)
    of = interval or (lambda place, at: t_interval(lines[place], level=at))
    single = [of(i, level) for i in range(len(lines))]
    wider = [of(i, 1 - (1 - level) / len(lines)) for i in range(len(lines))]
    return Interval(min(one.estimate for one in single), min(one.low for one in single), min(one.high for one in wider))


def equivalence(lines: Sequence[ArrayLike], level: float, margin: float) -> float:
    """The p-value of the least of several means being ``margin`` or more away from ``level``, in [0, 1]: two one-sided tests (TOST).

    A small one says that it is nearer than the margin. The larger of the two p-values counts, so the two need no correction.

    Raises:
        BenchError: a margin that is not above 0; no lines, no values, or NaN or infinity among them.
    """
    if not margin > 0:
        raise BenchError("margin of an equivalence is not usable", expected="a number above 0", got=repr(margin))
    return max(_all_above(lines, level - margin), _some_below(lines, level + margin))


def _all_above(lines: Sequence[ArrayLike], level: float) -> float:
    """p-value of "some mean is at the level or below"."""
    return max(_one_sided(values, level) for values in _some(lines))


def _some_below(lines: Sequence[ArrayLike], level: float) -> float:
    """p-value of "every mean is at the level or above"."""
    return min(1.0, len(lines) * min(_one_sided(-np.asarray(values, dtype=np.float64), -level) for values in _some(lines)))


def _one_sided(values: ArrayLike, level: float) -> float:
    """p-value of "the mean is at the level or below", half of that of ``one_mean`` on its own side."""
    interval, p = one_mean(values, level)
    return p / 2 if interval.estimate > level else 1 - p / 2


def _some(lines: Sequence[ArrayLike]) -> Sequence[ArrayLike]:
    if not len(lines):
        raise BenchError("there is nothing to compare", expected="the values of one comparison or more", got="none")
    return lines


def holm(p_values: Sequence[float], of: Sequence[Hashable] | None = None) -> list[float]:
    """Holm's step-down correction (1979): p-values such that rejecting those up to α errs at all with a chance of at most α.

    The i-th smallest of m is multiplied by m − i + 1, never below one that was smaller, at most 1. The order of the answer is that given.

    Args:
        of: what each test is about, where several are about one thing and at most one of their null hypotheses can be true, as "the
            effect is 0" and "the effect is the margin or more". So a factor counts the things of which a test is left, not the tests
            (Shaffer 1986): as many as can be true at once.
    """
    about = range(len(p_values)) if of is None else of
    left = Counter(about)
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for i in sorted(range(len(p_values)), key=lambda i: p_values[i]):
        highest = max(highest, min(1.0, len(+left) * p_values[i]))
        corrected[i] = highest
        left[about[i]] -= 1
    return corrected


def could_show(values: ArrayLike, alpha: float, power: float = POWER) -> float | None:
    """The smallest effect that a two-sided t test of so many values would have shown with that power, if their spread is the true one.

    In the values' unit. The δ at which a noncentral t of n − 1 degrees of freedom and noncentrality √n·δ/spread exceeds t(n − 1, 1 − α/2)
    with a chance of ``power`` (Johnson and Welch 1940; Cohen 1988, chapter 2); the chance of a verdict on the wrong side, below 10⁻³ there,
    is not counted in.

    Args:
        alpha: the level of significance that the test has to meet, in (0, 1).

    Returns:
        None: fewer than two values, or values that are all equal, whose spread tells nothing.

    Raises:
        BenchError: alpha or power outside (0, 1), or alpha above power.
    """
    from scipy.special import nctdtrinc, stdtrit

    if not 0 < alpha < power < 1:
        raise BenchError("an effect that could be shown cannot be told", expected="0 < alpha < power < 1", got=f"{alpha}, {power}")
    x = np.asarray(values, dtype=np.float64).ravel()
    spread = float(x.std(ddof=1)) if len(x) > 1 else 0.0
    if spread < SAME:
        return None
    limit = stdtrit(len(x) - 1, 1 - alpha / 2)
    return float(nctdtrinc(len(x) - 1, 1 - power, limit)) * spread / float(np.sqrt(len(x)))
