"""Intervals cover what they should, tests reject as often as they should, and ROC numbers agree with their definitions."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.errors import BenchError
from bench.metrics import intervals
from bench.seeds import numpy_generator

SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=12)  # few values, so that ties are common


@given(SCORES, SCORES)
def test_auc_counts_pairs(pos: list[int], neg: list[int]) -> None:
    expected = np.mean([1.0 if p > n else 0.5 if p == n else 0.0 for p, n in itertools.product(pos, neg)])
    assert intervals.auc(pos, neg) == pytest.approx(expected)
    assert intervals.auc(neg, pos) == pytest.approx(1 - expected)
    assert intervals.auc(pos, neg) == pytest.approx(stats.mannwhitneyu(pos, neg).statistic / (len(pos) * len(neg)))


def test_auc_orders_infinity() -> None:
    assert intervals.auc([1.0, -np.inf], [-np.inf, -np.inf]) == 0.75


@given(SCORES, SCORES, st.floats(0, 1))
def test_tpr_at_fpr_is_the_best_threshold_allowed(pos: list[int], neg: list[int], fpr: float) -> None:
    p, n = np.array(pos), np.array(neg)
    thresholds = [*np.unique(np.concatenate([p, n])), -np.inf]
    expected = max((p > t).mean() for t in thresholds if (n > t).mean() <= fpr + 1e-9)
    assert intervals.tpr_at_fpr(pos, neg, fpr) == pytest.approx(expected)


def test_tpr_with_few_negatives_allows_no_false_positive() -> None:
    assert intervals.tpr_at_fpr([0.9, 0.5, 0.2], [0.5, 0.1]) == pytest.approx(1 / 3)


def test_bootstrap_interval_has_the_width_of_theory() -> None:
    rng = numpy_generator("test", "width")
    a, b = rng.normal(1, 2, 400), rng.normal(0, 1, 300)
    got = intervals.bootstrap_difference(a, b, numpy_generator("boot"))
    half = 1.96 * np.sqrt(a.var() / 400 + b.var() / 300)
    assert got.estimate == pytest.approx(a.mean() - b.mean())
    assert got.low == pytest.approx(got.estimate - half, abs=0.15 * half)
    assert got.high == pytest.approx(got.estimate + half, abs=0.15 * half)


def test_bootstrap_repeats_itself() -> None:
    a, b = [0, 1, 1, 0, 1], [0, 0, 1, 0, 0]
    one = intervals.bootstrap_difference(a, b, numpy_generator("boot", 1))
    assert one == intervals.bootstrap_difference(a, b, numpy_generator("boot", 1))
    assert one != intervals.bootstrap_difference(a, b, numpy_generator("boot", 2))


def test_controls_alike_in_distribution_are_covered() -> None:
    """Members and controls with the same chance of a hit: the 95 % interval of the excess holds 0 in about 95 % of cells."""
    rng = numpy_generator("coverage")
    cells, n = 400, 60
    held = 0
    for i in range(cells):
        a, b = rng.random(n) < 0.3, rng.random(n) < 0.3
        got = intervals.bootstrap_difference(a, b, numpy_generator("coverage", i), resamples=400)
        held += got.low <= 0 <= got.high
    assert 0.91 <= held / cells <= 0.985


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = numpy_generator("hierarchy")
    centres = (0.0, 1.0, 2.0, 3.0)
    a = [centre + rng.normal(0, 0.1, 50) for centre in centres]
    b = [rng.normal(0, 0.1, 70) for _ in centres]
    together = intervals.bootstrap_seeds(a, b, numpy_generator("x"))
    assert together.estimate == pytest.approx(1.5, abs=0.05)
    spread = np.std(centres) / 2  # of a mean of four
    assert together.high - together.low == pytest.approx(2 * 1.96 * spread, rel=0.15)
    alike = intervals.bootstrap_seeds([x - c for x, c in zip(a, centres, strict=True)], b, numpy_generator("x"))
    assert alike.high - alike.low < 0.1


def test_images_within_seeds_are_resampled_too() -> None:
    """Equal seeds: what is left is the sampling of images, as if all were one cell."""
    values = np.arange(40) % 2
    got = intervals.bootstrap_seeds([values] * 3, [values] * 3, numpy_generator("y"))
    assert got.estimate == 0
    theory = 2 * 1.96 * np.sqrt(2 * 0.25 / 40 / 3)
    assert got.high - got.low == pytest.approx(theory, rel=0.1)


@st.composite
def counts(draw: st.DrawFn) -> list[tuple[int, int, int, int]]:
    """Of one or two seeds: hits and number of the members, hits and number of the controls."""

    def side() -> tuple[int, int]:
        n = draw(st.integers(1, 3))
        return draw(st.integers(0, n)), n

    return [(*side(), *side()) for _ in range(draw(st.integers(1, 2)))]


@given(counts(), st.sampled_from([0.5, 0.75, 0.95]))
def test_bootstrap_of_shares_is_every_resample_counted(seeds: list[tuple[int, int, int, int]], level: float) -> None:
    """All choices of seeds, and in each all choices of images, one by one, in exact fractions; without any choice, the score interval."""

    def means(hits: int, n: int) -> Counter[Fraction]:
        values = [1] * hits + [0] * (n - hits)
        return Counter(Fraction(sum(chosen), n) for chosen in itertools.product(values, repeat=n))

    slot: dict[tuple[Fraction, Fraction], Fraction] = defaultdict(Fraction)  # (members, controls) of one drawn seed → chance
    for hits, n, control_hits, control_n in seeds:
        for (a, many), (b, more) in itertools.product(means(hits, n).items(), means(control_hits, control_n).items()):
            slot[a, b] += Fraction(many * more, n**n * control_n**control_n * len(seeds))
    got = intervals.bootstrap_shares(*map(list, zip(*seeds, strict=True)), level=level)
    tail = Fraction(1 - level) / 2
    a, n, b, m = (sum(side) for side in zip(*seeds, strict=True))
    scores = [intervals.newcombe(*shares, level=level) for shares in (([(a, n)], [(b, m)]), ([(a, n)],), ([(b, m)],))]
    for interval, of, score in zip(got, (lambda a, b: a - b, lambda a, b: a, lambda a, b: b), scores, strict=True):
        chances: dict[Fraction, Fraction] = defaultdict(Fraction)
        for drawn in itertools.product(slot.items(), repeat=len(seeds)):
            value = sum(of(*pair) for pair, _ in drawn) / Fraction(len(seeds))
            chances[value] += math.prod(chance for _, chance in drawn)
        low = min(x for x in chances if sum(c for y, c in chances.items() if y <= x) >= tail)
        high = max(x for x in chances if sum(c for y, c in chances.items() if y >= x) >= tail)
        ends = (float(low), float(high)) if low < high else (score.low, score.high)
        assert interval == pytest.approx((float(sum(x * c for x, c in chances.items())), *ends), abs=1e-12)


@pytest.mark.parametrize("sizes", [(20, 20, 20, 20), (83, 97, 89, 101)])
def test_bootstrap_of_shares_is_the_drawn_one(sizes: tuple[int, ...]) -> None:
    """Sizes of a common denominator, and sizes whose common denominator would be too fine."""
    rng = numpy_generator("shares")
    members = [rng.random(n) < p for n, p in zip(sizes, (0.3, 0.5, 0.7, 0.6), strict=True)]
    controls = [rng.random(n) < 0.1 for n in reversed(sizes)]
    drawn = intervals.bootstrap_seeds(members, controls, numpy_generator("drawn"), resamples=40_000)
    sides = [[int(x.sum()) for x in members], [len(x) for x in members], [int(x.sum()) for x in controls], [len(x) for x in controls]]
    excess, first, second = intervals.bootstrap_shares(*sides)
    assert excess == pytest.approx(drawn, abs=0.006)
    assert first.estimate - second.estimate == pytest.approx(excess.estimate)
    turned = intervals.bootstrap_shares(*sides[2:], *sides[:2])[0]
    assert (-turned.estimate, -turned.high, -turned.low) == pytest.approx(excess, abs=1e-12)


def test_shares_are_rounded_by_less_than_the_lattice(monkeypatch: pytest.MonkeyPatch) -> None:
    sides = [7, 12, 9, 13], [20, 25, 30, 24], [1, 0, 2, 3], [24, 30, 25, 20]  # on a lattice of 600
    exact = intervals.bootstrap_shares(*sides)
    for finest in (599, 200):
        monkeypatch.setattr(intervals, "FINEST", finest)
        for rounded, whole in zip(intervals.bootstrap_shares(*sides), exact, strict=True):
            assert rounded == pytest.approx(whole, abs=1 / finest)
    assert intervals.bootstrap_shares(*sides) != exact


@given(st.integers(1, 200_000))
def test_lengths_of_transforms_are_those_of_scipy(least: int) -> None:
    from scipy.fft import next_fast_len

    assert intervals._fast_length(least) == next_fast_len(least, real=True)


def test_shares_of_zero_and_one_have_the_width_of_their_counts_and_sizes_may_differ() -> None:
    excess, members, controls = intervals.bootstrap_shares([3, 8, 1], [3, 8, 1], [0, 0, 0], [5, 5, 9])
    assert excess == pytest.approx(intervals.newcombe([(12, 12)], [(0, 19)]))
    assert members == pytest.approx(intervals.wilson(12, 12))
    assert controls == pytest.approx(intervals.wilson(0, 19))
    assert excess.low < 1 == excess.high
    excess, members, controls = intervals.bootstrap_shares([0, 0], [20, 20], [0, 0], [20, 20])
    assert excess == pytest.approx((0, -intervals.wilson(0, 40).high, intervals.wilson(0, 40).high))
    excess, members, controls = intervals.bootstrap_shares([5, 7], [20, 20], [0, 0], [20, 20])
    assert controls == pytest.approx(intervals.wilson(0, 40)), "the other side has a width of its own"
    assert members.low < members.estimate < members.high


def test_newcombe_against_his_own_table() -> None:
    """Newcombe 1998, table II, method 10."""
    for shares, known in (
        (((56, 70), (48, 80)), (0.2, 0.0524, 0.3339)),
        (((9, 10), (3, 10)), (0.6, 0.1705, 0.8090)),
        (((10, 10), (0, 20)), (1.0, 0.6791, 1.0)),
        (((0, 10), (0, 20)), (0.0, -0.1611, 0.2775)),
    ):
        assert intervals.newcombe([shares[0]], [shares[1]]) == pytest.approx(known, abs=1e-4)
    assert intervals.newcombe([(3, 20)]) == pytest.approx(intervals.wilson(3, 20))
    turned = intervals.newcombe([(48, 80)], [(56, 70)])
    assert turned == pytest.approx((-0.2, -0.3339, -0.0524), abs=1e-4)
    four = intervals.newcombe([(0, 20), (0, 20)], [(0, 20), (0, 20)])
    assert four.high == pytest.approx(2**0.5 * intervals.wilson(0, 20).high), "two shares, independent of each other"
    with pytest.raises(BenchError, match="not usable"):
        intervals.newcombe([])
    with pytest.raises(BenchError, match="not usable"):
        intervals.newcombe([(1, 0)])


@pytest.mark.parametrize(("n", "of_controls"), [(20, 20), (100, 100), (500, 500), (40, 200)])
def test_intervals_at_few_hits_cover_what_they_should(n: int, of_controls: int) -> None:
    """Every pair of counts, with its chance: no draws, so no slack for them. The chances are those of shares at and near 0 : 0."""
    for share, other in ((0.0, 0.0), (0.001, 0.0), (0.002, 0.002), (0.005, 0.001), (0.01, 0.01), (0.02, 0.0)):
        most = int(stats.binom.ppf(1 - 1e-6, n, share)), int(stats.binom.ppf(1 - 1e-6, of_controls, other))
        held = 0.0
        for a, b in itertools.product(range(most[0] + 1), range(most[1] + 1)):
            got = intervals.newcombe([(a, n)], [(b, of_controls)])
            held += stats.binom.pmf(a, n, share) * stats.binom.pmf(b, of_controls, other) * (got.low <= share - other <= got.high)
        assert held >= 0.93, (share, other, held)


def test_intervals_over_seeds_cover_what_they_should_where_hits_are_rare() -> None:
    """Simulated, 300 draws of each: 0.93 less three standard errors of their share."""
    rng = numpy_generator("rare")
    for seeds, n, share in ((3, 20, 0.002), (5, 20, 0.005), (8, 50, 0.0005)):
        boards = Counter(tuple(map(tuple, board)) for board in rng.binomial(n, share, (300, 2, seeds)).tolist())
        held = 0
        for (a, b), times in boards.items():
            got = intervals.bootstrap_shares(list(a), [n] * seeds, list(b), [n] * seeds)[0]
            held += times * (got.low <= 0 <= got.high)
            assert got.low < got.high
        assert held / 300 >= 0.93 - 3 * np.sqrt(0.05 * 0.95 / 300)


def test_counts_that_are_no_shares_are_refused() -> None:
    with pytest.raises(BenchError, match="do not correspond"):
        intervals.bootstrap_shares([1, 1], [2, 2], [0], [2])
    with pytest.raises(BenchError, match="do not correspond"):
        intervals.bootstrap_shares([], [], [], [])
    for bad in ([3], [2], [0], [1]), ([-1], [2], [0], [1]), ([0], [0], [0], [1]), ([np.nan], [2], [0], [1]), ([0], [1], [0.5], [1]):
        with pytest.raises(BenchError, match="not usable"):
            intervals.bootstrap_shares(*bad)
    with pytest.raises(BenchError, match="out of range"):
        intervals.bootstrap_shares([1], [2], [1], [2], level=1.5)


def test_auc_interval_has_the_width_of_theory() -> None:
    """Hanley and McNeil's variance at AUC 0.5: (m + n + 1) / (12 m n)."""
    rng = numpy_generator("auc")
    pos, neg = rng.normal(0, 1, 150), rng.normal(0, 1, 120)
    got = intervals.bootstrap_auc(pos, neg, numpy_generator("auc", 1))
    assert got.estimate == pytest.approx(intervals.auc(pos, neg))
    assert got.low < got.estimate < got.high
    assert got.high - got.low == pytest.approx(2 * 1.96 * np.sqrt(271 / (12 * 150 * 120)), rel=0.2)
    assert intervals.bootstrap_auc([1, 2], [0, -1], numpy_generator("z")) == (1, 1, 1)


def test_t_interval_against_the_table() -> None:
    got = intervals.t_interval([1.0, 2.0, 3.0])
    assert got.estimate == 2
    assert got.high - 2 == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)  # t(0.975, 2) = 4.302653
    assert intervals.t_interval([0.4]) == (0.4, -np.inf, np.inf)


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=8).filter(lambda x: len(set(x)) > 1), st.sampled_from([0.5, 0.95, 0.99]))
def test_t_interval_is_that_of_scipy(values: list[int], level: float) -> None:
    got = intervals.t_interval(values, level=level)
    assert got[1:] == pytest.approx(stats.t.interval(level, len(values) - 1, np.mean(values), stats.sem(values)), abs=1e-12)


@given(st.integers(1, 300), st.floats(0, 1), st.sampled_from([0.5, 0.95, 0.99]))
def test_wilson_is_that_of_scipy(trials: int, share: float, level: float) -> None:
    hits = round(share * trials)
    known = stats.binomtest(hits, trials).proportion_ci(level, method="wilson")
    assert intervals.wilson(hits, trials, level=level) == pytest.approx((hits / trials, known.low, known.high), abs=1e-9)


@given(st.integers(1, 400), st.floats(0, 1))
def test_chances_of_a_share_are_binomial(n: int, share: float) -> None:
    hits = round(share * n)
    assert intervals._binomial(hits, n, n) == pytest.approx(stats.binom.pmf(np.arange(n + 1), n, hits / n), abs=1e-11)


def test_wilson_against_known_values() -> None:
    assert intervals.wilson(0, 10) == pytest.approx((0.0, 0.0, 0.277533), abs=1e-6)
    assert intervals.wilson(5, 10) == pytest.approx((0.5, 0.236593, 0.763407), abs=1e-6)
    assert intervals.wilson(10, 10) == pytest.approx((1.0, 0.722467, 1.0), abs=1e-6)


@pytest.mark.parametrize("bad", [[], [1.0, np.nan]])
def test_unusable_values_are_refused(bad: list[float]) -> None:
    rng = numpy_generator("bad")
    calls = [
        lambda: intervals.auc(bad, [1.0]),
        lambda: intervals.tpr_at_fpr([1.0], bad),
        lambda: intervals.bootstrap_difference(bad, [1.0], rng),
        lambda: intervals.bootstrap_auc([1.0], bad, rng),
        lambda: intervals.t_interval(bad),
    ]
    for call in calls:
        with pytest.raises(BenchError, match="not usable"):
            call()


def test_unequal_groups_are_refused() -> None:
    with pytest.raises(BenchError, match="do not correspond"):
        intervals.bootstrap_seeds([[1.0]], [], numpy_generator("bad"))
    with pytest.raises(BenchError, match="out of range"):
        intervals.tpr_at_fpr([1.0], [1.0], 1.5)


def test_the_module_needs_no_torch() -> None:
    code = "import sys, bench.metrics.intervals; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
