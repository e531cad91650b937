"""Tests of a mean over a few seeds, against SciPy and against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.errors import BenchError
from bench.metrics.significance import direction, holm, one_mean, seeds_needed

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


def test_so_many_seeds_do_reach_the_power():
    """Simulated: with that number of seeds the test passes about four times in five."""
    values = np.array([0.3, 0.5, -0.1, 0.35, 0.2])
    n = seeds_needed(values, 0.0, 0.01)
    assert n is not None
    draws = np.random.default_rng(1).normal(values.mean(), values.std(ddof=1), (20_000, n))
    share = (stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.01).mean()
    assert 0.75 < share < 0.9


def test_seeds_needed_where_there_is_no_spread_or_no_effect():
    assert seeds_needed([0.2, 0.2, 0.2], 0.0, 0.05) == 6  # 2**-5 = 0.031 is the first below 0.05
    assert seeds_needed([0.2, -0.2], 0.0, 0.05) is None
    assert seeds_needed([1e-4, 1.0, -1.0], 0.0, 0.05) is None  # more than a thousand
    assert seeds_needed([0.9, 1.1, 1.0], 0.9, 0.05) > seeds_needed([0.9, 1.1, 1.0], 0.0, 0.05)
    with pytest.raises(BenchError):
        seeds_needed([0.2], 0.0, 0.05)
    with pytest.raises(BenchError):
        seeds_needed([0.2, 0.3], 0.0, 1.5)


def test_direction_is_that_of_the_test_and_not_of_an_interval_without_width():
    assert direction([0.1]) is None
    assert direction([]) is None
    assert direction([0.05, 0.05]) == 0
    assert direction([0.05] * 6) == 1
    assert direction([-0.1, -0.11, -0.09]) == -1
    assert direction([-0.1, 0.11, 0.0]) == 0
