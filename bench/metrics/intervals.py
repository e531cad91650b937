"""How sure a number is: bootstrap and t intervals, ROC AUC and TPR at a low FPR.

NumPy, and of SciPy its special functions: ``scipy.stats`` takes most of a second to import, which every worker would wait for. The tests
compare with it.

What the intervals cover. ``bootstrap_difference`` resamples the images of one cell: it answers for other images of the same trained
target, not for other targets. ``t_interval`` over the seeds' values answers for other targets and their images as well; with three seeds
it is wide, as it should be. A bootstrap over seeds can only draw the seeds it has: where the images of a network stand or fall together,
its 95 % intervals held the truth in some 80 of a hundred simulated boards of three seeds and in 90 of eight, so there is none here. Few
seeds may agree by chance, above all where hits are rare: ``over_seeds`` is Student's t, and on neither side narrower than what the draw of
images alone makes it. That is ``wilson`` for a share, which has a width at 0 and 1, and ``newcombe`` for sums and differences of shares.
``paired`` is for differences of two lines on the same images, whose draw the counts do not tell: Student's t, the counts where all seeds
are alike. Images of one cell are not quite independent under one-to-one pairing, since they share the candidates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.errors import BenchError

RESAMPLES = 2000
LEVEL = 0.95
DRAWS_AT_ONCE = 2**22  # resampled values held in memory at once
SAME = 1e-9  # spreads below this, in the values' unit, are rounding


class Interval(NamedTuple):
    """An estimate with the ends of its interval, in the estimate's unit."""

    estimate: float
    low: float
    high: float


def auc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores higher than a negative, ties counting half (Mann–Whitney). In [0, 1].

    Infinite scores are allowed and ordered as usual.

    Raises:
        BenchError: a side is empty or holds NaN.
    """
    pos, neg = _values(positive, "positive", finite=False), np.sort(_values(negative, "negative", finite=False))
    below = np.searchsorted(neg, pos, side="left")
    not_above = np.searchsorted(neg, pos, side="right")
    return float((below + not_above).mean() / (2 * len(neg)))


def tpr_at_fpr(positive: ArrayLike, negative: ArrayLike, fpr: float = 0.01) -> float:
    """True-positive rate of the best threshold whose false-positive rate is at most ``fpr``. In [0, 1].

    With fewer than 1/``fpr`` negatives no false positive is allowed: the threshold is the highest negative (Carlini et al. 2022).

    Raises:
        BenchError: a side is empty or holds NaN, or ``fpr`` is outside [0, 1].
    """
    if not 0 <= fpr <= 1:
        raise BenchError("false-positive rate out of range", expected="a number in [0, 1]", got=repr(fpr))
    pos, neg = _values(positive, "positive", finite=False), np.sort(_values(negative, "negative", finite=False))[::-1]
    allowed = int(np.floor(fpr * len(neg) + 1e-9))
    return 1.0 if allowed >= len(neg) else float((pos > neg[allowed]).mean())


def bootstrap_auc(
    positive: ArrayLike, negative: ArrayLike, rng: np.random.Generator, *, resamples: int = RESAMPLES, level: float = LEVEL
) -> Interval:
    """``auc`` with a percentile bootstrap interval; the two sides are resampled independently. Raises as ``auc``.

    A resample is a count for each value, so all resamples are one product of the counts with the table of wins.
    """
    pos, neg = _values(positive, "positive", finite=False), _values(negative, "negative", finite=False)
    wins = (pos[:, None] > neg).astype(np.float64) + 0.5 * (pos[:, None] == neg)
    draws = np.empty(resamples)
    step = max(1, DRAWS_AT_ONCE // max(len(pos), len(neg)))
    for start in range(0, resamples, step):
        part = draws[start : start + step]
        counts_pos = rng.multinomial(len(pos), np.full(len(pos), 1 / len(pos)), size=len(part))
        counts_neg = rng.multinomial(len(neg), np.full(len(neg), 1 / len(neg)), size=len(part))
        part[:] = np.einsum("bp,bp->b", counts_pos, counts_neg @ wins.T) / (len(pos) * len(neg))
    return _percentiles(auc(pos, neg), draws, level)


def wilson(successes: int, trials: int, *, level: float = LEVEL) -> Interval:
    """A share with Wilson's score interval (1927), which keeps a width when the share is 0 or 1.

    Raises:
        BenchError: no trials, or successes outside 0..trials.
    """
    from scipy.special import ndtri

    if trials < 1 or not 0 <= successes <= trials:
        raise BenchError("a share is not usable", expected="0 <= successes <= trials, at least one trial", got=f"{successes} of {trials}")
    share, z = successes / trials, float(ndtri(0.5 + level / 2))
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    # of none or of all the end is the share itself, which rounding must not miss
    return Interval(share, max(0.0, min(share, float(centre - half))), min(1.0, max(share, float(centre + half))))


def newcombe(added: Sequence[tuple[int, int]], taken: Sequence[tuple[int, int]] = (), *, level: float = LEVEL) -> Interval:
    """A sum of shares less a sum of others, with the hybrid score interval of Newcombe (1998, method 10), which keeps a width at 0 : 0.

    Each end lies as far from the estimate as the Wilson ends of the single shares on that side do from theirs, added in squares: of each
    share alone that is its Wilson interval. The shares are taken for independent of each other, and the images of each for independent
    draws, so it answers for other images, not for other targets.

    Args:
        added, taken: hits and of how many.

    Raises:
        BenchError: no share at all, no trials of one, or hits outside 0..trials.
    """
    if not (added or taken):
        raise BenchError("a share is not usable", expected="hits and of how many, once or more", got="none")
    plus, minus = ([wilson(*share, level=level) for share in side] for side in (added, taken))
    estimate = sum(one.estimate for one in plus) - sum(one.estimate for one in minus)
    down = [*(one.estimate - one.low for one in plus), *(one.high - one.estimate for one in minus)]
    up = [*(one.high - one.estimate for one in plus), *(one.estimate - one.low for one in minus)]
    return Interval(estimate, estimate - math.hypot(*down), estimate + math.hypot(*up))


def bootstrap_difference(
    a: ArrayLike, b: ArrayLike, rng: np.random.Generator, *, resamples: int = RESAMPLES, level: float = LEVEL
) -> Interval:
    """mean(a) − mean(b) with a percentile bootstrap interval; the two sides are resampled independently.

    Args:
        a: values of one group, such as hits (0 or 1) of the members of a cell.
        b: values of the other, such as the controls; may differ in number.
        rng: from ``bench.seeds.numpy_generator``, so that the same cell gives the same interval.

    Raises:
        BenchError: a side is empty or holds NaN or infinity.
    """
    _level(level)
    left, right = _values(a, "first group"), _values(b, "second group")
    draws = _resampled_means(left, resamples, rng) - _resampled_means(right, resamples, rng)
    return _percentiles(float(left.mean() - right.mean()), draws, level)


def over_seeds(values: ArrayLike, images: Interval, *, level: float = LEVEL) -> Interval:
    """The mean of the values of a few seeds, with an interval for other seeds and other images.

    Each end is the farther one of two: Student's t over the seeds, and what the draw of images alone makes of it, as if all networks were
    alike. Of a single seed it is the latter.

    Args:
        images: the same mean, or one near it, with its interval for other images of these very networks; its distances count.

    Raises:
        BenchError: no values, or NaN or infinity among them.
    """
    mean, low, high = t_interval(values, level=level)
    if np.size(values) == 1:
        low = high = mean
    return Interval(mean, min(low, mean - images.estimate + images.low), max(high, mean - images.estimate + images.high))


def paired(
    values: ArrayLike, added: Sequence[tuple[int, int]] = (), taken: Sequence[tuple[int, int]] = (), *, level: float = LEVEL
) -> Interval:
    """The mean of the differences of a few seeds with Student's t interval. Where all seeds have the very same one, as at 0 : 0, their
    spread tells nothing, and the ends are ``newcombe``'s.

    Args:
        added, taken: hits and of how many, of the shares that the differences are made of, all seeds together; none: they are not known.

    Raises:
        BenchError: no values, or NaN or infinity among them; or counts that are none.
    """
    found = t_interval(values, level=level)
    if not (added or taken) or np.size(values) < 2 or np.ptp(np.asarray(values, dtype=np.float64)) > SAME:
        return found
    return newcombe(added, taken, level=level)._replace(estimate=found.estimate)


def means_over_seeds(
    values: Sequence[ArrayLike], rng: np.random.Generator, *, resamples: int = RESAMPLES, level: float = LEVEL
) -> Interval:
    """``over_seeds`` of the seeds' means; the draw of images is a bootstrap within each seed.

    Args:
        values: of the images, one array a seed; their lengths may differ.
        rng: from ``bench.seeds.numpy_generator``.

    Raises:
        BenchError: no seeds, or an array that is empty or holds NaN or infinity.
    """
    known = [_values(x, "group") for x in values]
    means = [float(x.mean()) for x in known]
    draws = sum((_resampled_means(x, resamples, rng) for x in known), np.zeros(resamples)) / max(1, len(known))
    return over_seeds(means, _percentiles(float(np.mean(means or [0.0])), draws, level), level=level)


def shares_over_seeds(
    hits: ArrayLike, n: ArrayLike, control_hits: ArrayLike, control_n: ArrayLike, *, level: float = LEVEL
) -> tuple[Interval, Interval, Interval]:
    """``over_seeds`` of shares and of their difference; the draw of images is that of ``newcombe``, of the images of all seeds.

    Args:
        hits, n: hits and images of the members, one entry a seed.
        control_hits, control_n: likewise of the controls, in the same order.

    Returns:
        The mean over seeds of hits/n − control_hits/control_n, in [-1, 1], that of hits/n and that of control_hits/control_n, in [0, 1].

    Raises:
        BenchError: no seeds, unequal numbers of seeds, or numbers that are not whole or not hits of n, n at least 1.
    """
    _level(level)
    sides = _counts(hits, n, control_hits, control_n)
    first, second = sides[0] / sides[1], sides[2] / sides[3]
    a, b = [tuple(sides[:2].sum(axis=1).tolist())], [tuple(sides[2:].sum(axis=1).tolist())]
    made_of = ((first - second, (a, b), -1.0), (first, (a,), 0.0), (second, (b,), 0.0))
    wide = [(over_seeds(values, newcombe(*shares, level=level), level=level), least) for values, shares, least in made_of]
    excess, one, other = (Interval(found.estimate, max(least, found.low), min(1.0, found.high)) for found, least in wide)
    return excess, one, other


def bootstrap_mean(values: ArrayLike, rng: np.random.Generator, *, resamples: int = RESAMPLES, level: float = LEVEL) -> Interval:
    """Mean with a percentile bootstrap interval. Raises BenchError on an empty array, NaN or infinity."""
    x = _values(values, "group")
    return _percentiles(float(x.mean()), _resampled_means(x, resamples, rng), level)


def t_interval(values: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Mean of a few values, such as one a seed, with Student's t interval; infinitely wide for a single value.

    Raises:
        BenchError: no values, or NaN or infinity among them.
    """
    from scipy.special import stdtrit

    x = _values(values, "group")
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, -np.inf, np.inf)
    half = float(stdtrit(len(x) - 1, 0.5 + level / 2) * x.std(ddof=1) / np.sqrt(len(x)))
    return Interval(mean, mean - half, mean + half)


def difference_of(first: Interval, second: Interval) -> Interval:
    """first − second, of two estimates from independent data, with the interval that follows from theirs (Zou and Donner 2008, MOVER):
    each end adds, as squares, the distances that would move the difference there. Asymmetric where they are."""
    estimate = first.estimate - second.estimate
    below = math.hypot(first.estimate - first.low, second.high - second.estimate)
    above = math.hypot(first.high - first.estimate, second.estimate - second.low)
    return Interval(estimate, estimate - below, estimate + above)


def _counts(hits: ArrayLike, n: ArrayLike, control_hits: ArrayLike, control_n: ArrayLike) -> NDArray[np.int64]:
    """The four as rows of whole numbers."""
    sides = [np.asarray(x, dtype=np.float64).ravel() for x in (hits, n, control_hits, control_n)]
    if len({len(side) for side in sides}) > 1 or len(sides[0]) == 0:
        sizes = ", ".join(str(len(side)) for side in sides)
        raise BenchError("counts of a bootstrap do not correspond", expected="as many of each, at least one", got=sizes)
    for some, of in (sides[:2], sides[2:]):
        good = (some >= 0) & (some <= of) & (of >= 1) & (some % 1 == 0) & (of % 1 == 0)  # not so of NaN
        if not good.all():
            got = ", ".join(f"{a:g} of {b:g}" for a, b in zip(some, of, strict=True))
            raise BenchError("a share is not usable", expected="whole numbers, 0 <= hits <= n, n at least 1", got=got)
    return np.stack(sides).astype(np.int64)


def _resampled_means(x: NDArray[np.float64], resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Means of ``resamples`` draws of len(x) values with replacement, a bounded number of values at a time."""
    if len(x) == 1:
        return np.full(resamples, x[0])  # no draw takes a random number
    means = np.empty(resamples)
    step = max(1, DRAWS_AT_ONCE // len(x))
    for start in range(0, resamples, step):
        part = means[start : start + step]
        part[:] = x[rng.integers(len(x), size=(len(part), len(x)))].mean(1)
    return means


def _percentiles(estimate: float, draws: NDArray[np.float64], level: float) -> Interval:
    _level(level)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high))


def _level(level: float) -> None:
    if not 0 < level < 1:
        raise BenchError("level of an interval out of range", expected="a number between 0 and 1, such as 0.95", got=repr(level))


def _values(x: ArrayLike, name: str, *, finite: bool = True) -> NDArray[np.float64]:
    """A flat float64 array; refuses nothing at all, NaN, and infinity where it makes no sense."""
    values = np.asarray(x, dtype=np.float64).ravel()
    bad = ~np.isfinite(values) if finite else np.isnan(values)
    if len(values) == 0 or bad.any():
        raise BenchError(
            f"{name} of a statistic is not usable",
            expected="at least one value, none of them NaN" + (" or infinite" if finite else ""),
            got="no values" if len(values) == 0 else f"{int(bad.sum())} of {len(values)} bad",
        )
    return values
