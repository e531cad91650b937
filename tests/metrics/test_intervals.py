"""Intervals cover what they should, tests reject as often as they should, and ROC numbers agree with their definitions."""

from __future__ import annotations

import itertools
import subprocess
import sys

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


def test_over_seeds_each_end_is_the_farther_one() -> None:
    """Student's t of seeds that differ, and what the draw of images alone makes of it, wherever its estimate lies."""
    images = intervals.Interval(7.0, 6.5, 9.0)
    apart = intervals.t_interval([1.0, 2.0, 3.0])
    assert intervals.over_seeds([1.0, 2.0, 3.0], images) == pytest.approx(apart), "wider on both sides"
    assert intervals.over_seeds([2.0, 2.0, 2.0], images) == pytest.approx((2.0, 1.5, 4.0))
    near = [1.9, 2.0, 2.1]
    assert intervals.over_seeds(near, intervals.Interval(0, -0.01, 3)) == pytest.approx((2.0, intervals.t_interval(near).low, 5.0))
    assert intervals.over_seeds([2.0], images) == pytest.approx((2.0, 1.5, 4.0)), "a single seed knows nothing of others"


def test_means_over_seeds_are_those_of_student_and_no_narrower_than_the_images_make_them() -> None:
    rng = numpy_generator("hierarchy")
    centres = (0.0, 1.0, 2.0, 3.0)
    values = [centre + rng.normal(0, 0.1, 50) for centre in centres]
    assert intervals.means_over_seeds(values, numpy_generator("x")) == pytest.approx(intervals.t_interval([x.mean() for x in values]))
    alike = np.arange(40) % 2
    got = intervals.means_over_seeds([alike] * 3, numpy_generator("y"))
    assert got.estimate == 0.5
    assert got.high - got.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 40 / 3), rel=0.1), "as if all were one cell"


SEEDS = [(3, 20, 1, 20), (9, 20, 0, 20), (12, 20, 1, 20)]


def test_shares_over_seeds_are_those_of_student_where_seeds_differ() -> None:
    excess, members, controls = intervals.shares_over_seeds(*map(list, zip(*SEEDS, strict=True)))
    mean, low, high = intervals.t_interval([0.1, 0.45, 0.55])
    assert excess == pytest.approx((mean, max(-1, low), min(1, high)))
    assert members.low == 0, "a share"
    assert members.high == pytest.approx(min(1, intervals.t_interval([0.15, 0.45, 0.6]).high))
    assert controls.estimate == pytest.approx(2 / 60)
    turned = intervals.shares_over_seeds(*([seed[i] for seed in SEEDS] for i in (2, 3, 0, 1)))[0]
    assert (-turned.estimate, -turned.high, -turned.low) == pytest.approx(excess)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6), st.sampled_from([0.5, 0.95]))
def test_shares_over_seeds_are_nowhere_narrower_than_their_counts(seeds: list[tuple[int, int]], level: float) -> None:
    a, b = (list(side) for side in zip(*seeds, strict=True))
    n = [9] * len(seeds)
    for got, known, least in zip(
        intervals.shares_over_seeds(a, n, b, n, level=level),
        (intervals.newcombe([(sum(a), sum(n))], [(sum(b), sum(n))], level=level), intervals.wilson(sum(a), sum(n), level=level)),
        (-1, 0),
        strict=False,
    ):
        assert max(least, known.low) >= got.low - 1e-12
        assert min(1, known.high) <= got.high + 1e-12
        assert least <= got.low <= got.estimate <= got.high <= 1
        if len(seeds) == 1:
            assert got == pytest.approx(known)


def test_shares_of_zero_and_one_have_the_width_of_their_counts_and_sizes_may_differ() -> None:
    excess, members, controls = intervals.shares_over_seeds([3, 8, 1], [3, 8, 1], [0, 0, 0], [5, 5, 9])
    assert excess == pytest.approx(intervals.newcombe([(12, 12)], [(0, 19)]))
    assert members == pytest.approx(intervals.wilson(12, 12))
    assert controls == pytest.approx(intervals.wilson(0, 19))
    assert excess.low < 1 == excess.high
    excess, members, controls = intervals.shares_over_seeds([0, 0], [20, 20], [0, 0], [20, 20])
    assert excess == pytest.approx((0, -intervals.wilson(0, 40).high, intervals.wilson(0, 40).high))
    excess, members, controls = intervals.shares_over_seeds([5, 7], [20, 20], [0, 0], [20, 20])
    assert controls == pytest.approx(intervals.wilson(0, 40)), "the other side has a width of its own"
    assert members.low < members.estimate < members.high


def test_paired_differences_have_a_width_where_all_seeds_are_alike_and_the_counts_are_known() -> None:
    zero = [(0, 100)], [(0, 100)]
    assert intervals.paired([0.0] * 5, *zero) == pytest.approx(intervals.newcombe(*zero))
    assert intervals.paired([0.0] * 5) == (0, 0, 0), "nothing is known of them"
    assert intervals.paired([0.0, 0.1], *zero) == intervals.t_interval([0.0, 0.1])
    assert intervals.paired([0.0], *zero) == intervals.t_interval([0.0]), "a single seed has no spread at all"
    same = intervals.paired([0.1] * 5, [(15, 100)], [(5, 100)], level=0.9)
    assert same == pytest.approx(intervals.newcombe([(15, 100)], [(5, 100)], level=0.9))


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


def test_counts_that_are_no_shares_are_refused() -> None:
    with pytest.raises(BenchError, match="do not correspond"):
        intervals.shares_over_seeds([1, 1], [2, 2], [0], [2])
    with pytest.raises(BenchError, match="do not correspond"):
        intervals.shares_over_seeds([], [], [], [])
    for bad in ([3], [2], [0], [1]), ([-1], [2], [0], [1]), ([0], [0], [0], [1]), ([np.nan], [2], [0], [1]), ([0], [1], [0.5], [1]):
        with pytest.raises(BenchError, match="not usable"):
            intervals.shares_over_seeds(*bad)
    with pytest.raises(BenchError, match="out of range"):
        intervals.shares_over_seeds([1], [2], [1], [2], level=1.5)


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


def test_no_seeds_and_rates_out_of_range_are_refused() -> None:
    with pytest.raises(BenchError, match="not usable"):
        intervals.means_over_seeds([], numpy_generator("bad"))
    with pytest.raises(BenchError, match="out of range"):
        intervals.tpr_at_fpr([1.0], [1.0], 1.5)


def test_the_module_needs_no_torch() -> None:
    code = "import sys, bench.metrics.intervals; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
