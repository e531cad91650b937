"""How sure a number is: bootstrap and t intervals, ROC AUC and TPR at a low FPR.

NumPy, and of SciPy its special functions: ``scipy.stats`` takes most of a second to import, which every worker would wait for. The tests
compare with it.

What the intervals cover. ``bootstrap_difference`` resamples the images of one cell: it answers for other images of the same trained
target, not for other targets. ``bootstrap_seeds`` resamples seeds and, in each, images: it answers for other targets as well, but with few
seeds (fewer than about eight) a bootstrap over seeds is too narrow, for it can only draw the seeds it has. ``bootstrap_shares`` is the
same where the values are hits, worked out instead of drawn. ``t_interval`` over the seeds'
means is the honest one there; it is wide with three seeds, as it should be. A bootstrap of a share that is exactly 0 or 1 has no width on
that side; ``wilson`` has, and ``newcombe`` of sums and differences of shares, which ``bootstrap_shares`` falls back on. Images of one cell
are not quite independent under one-to-one pairing, since they share the candidates.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.errors import BenchError

RESAMPLES = 2000
LEVEL = 0.95
DRAWS_AT_ONCE = 2**22  # resampled values held in memory at once
FINEST = 2**12  # steps from 0 to 1 of the lattice on which shares of different denominators meet


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
    return bootstrap_seeds([a], [b], rng, resamples=resamples, level=level)


def bootstrap_seeds(
    a: Sequence[ArrayLike], b: Sequence[ArrayLike], rng: np.random.Generator, *, resamples: int = RESAMPLES, level: float = LEVEL
) -> Interval:
    """Mean over seeds of mean(a[s]) − mean(b[s]), with a hierarchical percentile bootstrap interval.

    Seeds are drawn with replacement; within each drawn seed the images of ``a`` and of ``b`` are drawn with replacement, independently.

    Args:
        a: one array a seed.
        b: one array a seed, in the same order; the lengths of the arrays may differ.
        rng: from ``bench.seeds.numpy_generator``.

    Raises:
        BenchError: no seeds, unequal numbers of seeds, or an array that is empty or holds NaN or infinity.
    """
    if len(a) != len(b) or len(a) == 0:
        raise BenchError(
            "groups of a bootstrap do not correspond", expected="as many arrays on each side, at least one", got=f"{len(a)}, {len(b)}"
        )
    left = [_values(x, "first group") for x in a]
    right = [_values(x, "second group") for x in b]
    estimate = float(np.mean([x.mean() - y.mean() for x, y in zip(left, right, strict=True)]))
    seeds = len(left)
    drawn = rng.integers(seeds, size=(resamples, seeds))
    total = np.zeros(resamples)
    for s in range(seeds):
        # How often each resample drew this seed; each time is a fresh draw of its images.
        slots = np.repeat(np.arange(resamples), (drawn == s).sum(1))
        difference = _resampled_means(left[s], len(slots), rng) - _resampled_means(right[s], len(slots), rng)
        total += np.bincount(slots, weights=difference, minlength=resamples)
    return _percentiles(estimate, total / seeds, level)


def bootstrap_shares(
    hits: ArrayLike, n: ArrayLike, control_hits: ArrayLike, control_n: ArrayLike, *, level: float = LEVEL
) -> tuple[Interval, Interval, Interval]:
    """What ``bootstrap_seeds`` draws where every value is a hit or a miss, exactly: no draws, hence no random stream.

    A resample of n images with h hits among them has Binomial(n, h/n) hits. A resample of one of S seeds is a mixture of these, and the
    sum of S of them has the mixture's S-fold convolution for its distribution: a power of its Fourier transform, on a lattice of steps
    1/lcm(n, control_n). Where that is finer than 1/2**12 (seeds of many different sizes), shares are rounded to 1/2**12. Where nothing
    varies, as at 0 : 0 hits in every seed, no resample differs from another; the ends are then those of ``newcombe``, of all images.

    Args:
        hits, n: hits and images of the members, one entry a seed.
        control_hits, control_n: likewise of the controls, in the same order.

    Returns:
        The mean over seeds of hits/n − control_hits/control_n, that of hits/n and that of control_hits/control_n, each in [-1, 1].

    Raises:
        BenchError: no seeds, unequal numbers of seeds, or numbers that are not whole or not hits of n, n at least 1.
    """
    _level(level)
    sides = _counts(hits, n, control_hits, control_n)
    seeds = sides.shape[1]
    lattice = math.lcm(*set(sides[[1, 3]].ravel().tolist()))
    steps = lattice if lattice <= FINEST else FINEST
    size = _fast_length(2 * seeds * steps + 1)  # from minus all controls to plus all members
    mixtures = np.zeros((3, size // 2 + 1), dtype=np.complex128)
    for (h, of, control_h, control_of), times in Counter(map(tuple, sides.T.tolist())).items():
        members, controls = _transform(h, of, steps, size), _transform(control_h, control_of, steps, size)
        mixtures += times / seeds * np.stack([members * controls.conj(), members, controls])
    first, second = (sides[0] / sides[1]).mean(), (sides[2] / sides[3]).mean()
    drawn = _of_the_sums([first - second, first, second], mixtures, seeds, steps, size, level)
    a, b = [tuple(sides[:2].sum(axis=1).tolist())], [tuple(sides[2:].sum(axis=1).tolist())]
    excess, one, other = (
        found if found.low < found.high else Interval(found.estimate, *newcombe(*shares, level=level)[1:])
        for found, shares in zip(drawn, ((a, b), (a,), (b,)), strict=True)
    )
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


def _binomial(hits: int, n: int, steps: int) -> NDArray[np.float64]:
    """The probabilities of the shares 0, 1/steps, …, 1 of Binomial(n, hits/n)/n; shares between are rounded."""
    from scipy.special import gammaln, xlog1py, xlogy

    k = np.arange(n + 1)
    chances = np.exp(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, hits / n) + xlog1py(n - k, -hits / n))
    table = np.zeros(steps + 1)
    np.add.at(table, np.rint(k / n * steps).astype(np.int64), chances)
    return table


@functools.lru_cache(maxsize=256)  # a report asks for the same few shares over and over
def _transform(hits: int, n: int, steps: int, size: int) -> NDArray[np.complex128]:
    """The Fourier transform of ``_binomial`` on a lattice of so many points."""
    return np.fft.rfft(_binomial(hits, n, steps), size)


def _of_the_sums(
    means: Sequence[float], transforms: NDArray[np.complex128], seeds: int, steps: int, size: int, level: float
) -> list[Interval]:
    """The percentile intervals of means of ``seeds`` draws from the distributions of those Fourier transforms, on a lattice around 0."""
    zero = seeds * steps
    chances = np.roll(np.fft.irfft(transforms**seeds, size), zero, axis=1)
    tail = (1 - level) / 2 - 1e-12  # a tail that is met exactly is met
    below, above = chances.cumsum(axis=1), chances[:, ::-1].cumsum(axis=1)
    return [
        Interval(float(mean), (int(np.searchsorted(up, tail)) - zero) / zero, (size - 1 - int(np.searchsorted(down, tail)) - zero) / zero)
        for mean, up, down in zip(means, below, above, strict=True)
    ]


@functools.cache
def _fast_length(least: int) -> int:
    """The first length from there on that has no prime factors above 5, for a fast Fourier transform. SciPy has it too, behind an import
    that takes a quarter of a second."""
    length = least
    while 30 ** length.bit_length() % length:  # 30 = 2·3·5, and no prime is in a number more often than it has bits
        length += 1
    return length


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
