"""Exact tests of two sides that are drawn alike: the values of SciPy's, sums over networks, and how often they err by chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.errors import BenchError
from bench.metrics.exact import MOST_PAIRS, higher_ranks, more_hits


@pytest.mark.parametrize(
    ("members", "controls"), [((18, 20), (1, 20)), ((0, 20), (0, 20)), ((3, 8), (5, 9)), ((20, 20), (20, 20)), ((300, 500), (250, 480))]
)
def test_hits_are_fishers(members, controls):
    table = [[members[0], members[1] - members[0]], [controls[0], controls[1] - controls[0]]]
    assert more_hits(members, controls) == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue, rel=1e-6, abs=1e-12)


def test_hits_that_do_not_fit_are_refused():
    for members, controls in (((5, 4), (0, 4)), ((-1, 4), (0, 4)), ((0, 4), (5, 4))):
        with pytest.raises(BenchError, match="hits do not fit"):
            more_hits(members, controls)


def auc_of(members: np.ndarray, controls: np.ndarray) -> float:
    return float((members[:, None] > controls).mean() + (members[:, None] == controls).mean() / 2)


@pytest.mark.parametrize(("n", "m", "apart"), [(5, 7, 0.0), (12, 12, 1.0), (30, 25, 0.6)])
def test_ranks_are_mann_and_whitneys(n, m, apart):
    rng = np.random.default_rng(n)
    members, controls = rng.normal(apart, 1, n), rng.normal(0, 1, m)
    wanted = stats.mannwhitneyu(members, controls, alternative="greater", method="exact").pvalue
    assert higher_ranks([(auc_of(members, controls), n, m)]) == pytest.approx(wanted, rel=1e-6)


def test_ranks_of_many_images_are_normal():
    n = 2 * int(MOST_PAIRS**0.5)
    rng = np.random.default_rng(0)
    members, controls = rng.normal(0.2, 1, n), rng.normal(0, 1, n)
    wanted = stats.mannwhitneyu(members, controls, alternative="greater", method="asymptotic").pvalue
    assert higher_ranks([(auc_of(members, controls), n, n)]) == pytest.approx(wanted, rel=1e-6)


def test_networks_are_pooled_by_their_sums():
    # of two networks with one member and one control each all four orders are as likely
    assert higher_ranks([(1.0, 1, 1), (1.0, 1, 1)]) == pytest.approx(1 / 4)
    assert higher_ranks([(1.0, 1, 1), (0.0, 1, 1)]) == pytest.approx(3 / 4)
    assert higher_ranks([(0.5, 1, 1), (1.0, 1, 1)]) == pytest.approx(3 / 4), "ties make it careful: 1.5 counts as 1"
    assert higher_ranks([(0.5, 10, 10)] * 3) == pytest.approx(0.5, abs=0.05)


def test_neither_errs_more_often_than_it_says():
    rng = np.random.default_rng(1)
    hits, ranks = [], []
    for _ in range(4000):
        rate = rng.uniform(0, 0.8)
        a, b = rng.binomial(20, rate, 2)
        hits.append(more_hits((int(a), 20), (int(b), 20)))
        ranks.append(higher_ranks([(auc_of(*rng.normal(0, 1, (2, 10))), 10, 10) for _ in range(2)]))
    for level in (0.001, 0.01, 0.1):
        for found in (hits, ranks):
            assert np.mean(np.array(found) < level) <= level + 3 * (level / 4000) ** 0.5
