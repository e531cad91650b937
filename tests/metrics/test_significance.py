"""Tests of a mean over a few seeds, against SciPy and against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.errors import BenchError
from bench.metrics.intervals import t_interval
from bench.metrics.significance import beside_the_least, could_show, direction, equivalence, holm, least_mean, one_mean

FEW = st.lists(st.floats(-1, 1, allow_nan=False, width=32), min_size=2, max_size=8)


@given(FEW, st.floats(-0.5, 0.5))
def test_p_and_interval_are_those_of_student(values, level):
    x = np.array(values)
    interval, p = one_mean(x, level)
    if x.std(ddof=1) < 1e-6:
        return
    assert p == pytest.approx(stats.ttest_1samp(x, level).pvalue, abs=1e-9)
    low, high = stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x))
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_equal_values_are_judged_by_their_signs_and_one_value_not_at_all():
    interval, p = one_mean([0.25] * 5)
    assert tuple(interval) == (0.25, 0.25, 0.25)
    assert p == 2**-4
    assert one_mean([0.0] * 5)[1] == 1
    assert one_mean([0.9] * 3, 0.9)[1] == 1
    single, p = one_mean([0.3])
    assert p == 1
    assert single.low == -np.inf


def test_holm_by_hand():
    # sorted: 0.005·4 = 0.02, 0.01·3 = 0.03, 0.03·2 = 0.06, and 0.04·1 = 0.04, raised to the 0.06 before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms())
def test_holm_keeps_order_never_lowers_and_ignores_how_the_tests_are_listed(p_values, random):
    corrected = holm(p_values)
    assert all(c >= p for c, p in zip(corrected, p_values, strict=True))
    assert all(c <= min(1, len(p_values) * p) + 1e-12 for c, p in zip(corrected, p_values, strict=True))
    shuffled = list(range(len(p_values)))
    random.shuffle(shuffled)
    again = holm([p_values[i] for i in shuffled])
    assert again == pytest.approx([corrected[i] for i in shuffled])


def test_holm_counts_what_can_be_true_at_once_where_tests_are_of_one_thing():
    """Of things a and b two tests each, of c one. Sorted: .001 (a), .002 (a), .004 (b), .01 (c), .5 (b)."""
    p_values, of = [0.001, 0.002, 0.004, 0.01, 0.5], ["a", "a", "b", "c", "b"]
    assert holm(p_values, of) == pytest.approx([3 * 0.001, 3 * 0.002, 2 * 0.004, 2 * 0.01, 1 * 0.5])
    assert holm(p_values, of=["x"] * 5) == pytest.approx(p_values), "only one of them can be true"
    assert holm(p_values, of=range(5)) == holm(p_values)


@given(FEW, st.floats(-0.5, 0.5))
def test_of_one_line_the_least_is_the_mean(values, level):
    p, above = beside_the_least([values], level)
    interval, known = one_mean(values, level)
    assert p == pytest.approx(known)
    if p < 1:
        assert above == (interval.estimate > level)
    assert least_mean([values]) == pytest.approx(t_interval(values))


@given(st.lists(FEW, min_size=1, max_size=4), st.floats(-0.5, 0.5), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_interval_of_the_least_leaves_out_what_the_test_rejects(lines, level, sure):
    """As for one mean: both ends by the same tests. Lines without a spread, which have a test of their own, aside."""
    if any(np.std(line, ddof=1) < 1e-6 for line in lines):
        return
    interval = least_mean(lines, level=sure)
    p, _ = beside_the_least(lines, level)
    assert interval.low <= interval.estimate <= interval.high
    if abs(p - (1 - sure)) > 1e-6:
        assert (interval.low <= level <= interval.high) == (p > 1 - sure)


@given(FEW, st.floats(0.01, 1), st.floats(-0.5, 0.5))
def test_equivalence_is_the_larger_of_two_one_sided_tests_of_scipy(values, margin, level):
    x = np.array(values)
    if x.std(ddof=1) < 1e-6:
        return
    above = stats.ttest_1samp(x, level - margin, alternative="greater").pvalue
    below = stats.ttest_1samp(x, level + margin, alternative="less").pvalue
    assert equivalence([x], level, margin) == pytest.approx(max(above, below), abs=1e-9)


def test_equivalence_beside_several_needs_all_above_and_one_below():
    spread = np.array([0.01, -0.01, 0.02, -0.02, 0.0])
    near, far = spread, spread + 1
    assert equivalence([near, far], 0.0, 0.1) == pytest.approx(2 * stats.ttest_1samp(near, 0.1, alternative="less").pvalue)
    assert equivalence([near, -far], 0.0, 0.1) > 0.5
    assert equivalence([far, far], 0.0, 0.1) > 0.5
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(BenchError, match="margin"):
            equivalence([near], 0.0, bad)
    for call in (lambda: beside_the_least([]), lambda: least_mean([]), lambda: equivalence([], 0.0, 1.0)):
        with pytest.raises(BenchError, match="nothing to compare"):
            call()


@pytest.mark.parametrize("seeds", [2, 3, 5, 8, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.005, 0.0005])
def test_what_could_be_shown_has_that_power_by_the_noncentral_t(seeds, alpha):
    values = np.linspace(-1, 1, seeds)
    shown = could_show(values, alpha)
    noncentrality = shown * np.sqrt(seeds) / values.std(ddof=1)
    limit = stats.t.ppf(1 - alpha / 2, seeds - 1)
    assert stats.nct.sf(limit, seeds - 1, noncentrality) == pytest.approx(0.8, abs=1e-4)
    assert could_show(values + 7, alpha) == pytest.approx(shown), "the mean has no part in it"
    assert could_show(3 * values, alpha) == pytest.approx(3 * shown)
    assert could_show(values, alpha, power=0.9) > shown > could_show(values, min(0.5, 2 * alpha))


def test_such_effects_are_shown_four_times_in_five():
    """Simulated: the noise has the standard deviation of the values, and the effect is the one that could be shown."""
    values = np.array([0.3, 0.5, -0.1, 0.35, 0.2])
    effect = could_show(values, 0.01)
    draws = np.random.default_rng(1).normal(effect, values.std(ddof=1), (20_000, 5))
    share = (stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.01).mean()
    assert share == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 20_000))


def test_nothing_could_be_shown_of_one_value_or_of_equal_ones():
    assert could_show([0.2], 0.05) is None
    assert could_show([0.2, 0.2, 0.2], 0.05) is None
    for alpha, power in ((0.0, 0.8), (1.5, 0.8), (0.05, 1.0), (0.5, 0.3)):
        with pytest.raises(BenchError):
            could_show([0.2, 0.3], alpha, power)


def test_direction_is_that_of_the_test_and_not_of_an_interval_without_width():
    assert direction([0.1]) is None
    assert direction([]) is None
    assert direction([0.05, 0.05]) == 0
    assert direction([0.05] * 6) == 1
    assert direction([-0.1, -0.11, -0.09]) == -1
    assert direction([-0.1, 0.11, 0.0]) == 0
