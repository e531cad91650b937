"""Simulated boards: how often a family, an equivalence or a win over all controls is wrong. Seeds of the simulations are fixed.

A share of N boards that are wrong with a chance of p has the standard error √(p(1 − p)/N); ``slack`` is three of them. P-values of single
lines are SciPy's, of all boards at once; that ours are the same is in ``test_significance``, and checked here on some of the boards.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.metrics.significance import beside_the_least, equivalence, holm, least_mean
from bench.seeds import numpy_generator

SEEDS = (3, 4, 5, 8)
CORRELATIONS = (0.0, 0.5, 0.9)


def slack(share: float, boards: int) -> float:
    return 3 * float(np.sqrt(share * (1 - share) / boards))


def noise(name: str, boards: int, tests: int, seeds: int, correlation: float) -> np.ndarray:
    """boards × tests × seeds normal values, those of one seed correlated over the tests: they share images and targets."""
    rng = numpy_generator("error rates", name, boards, tests, seeds)
    shared, own = rng.normal(size=(boards, 1, seeds)), rng.normal(size=(boards, tests, seeds))
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own


def least(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`beside_the_least` of boards × lines × seeds: p of each board, and whether it is ahead."""
    above, below = (stats.ttest_1samp(lines, 0, axis=2, alternative=side).pvalue for side in ("greater", "less"))
    win, defeat = above.max(1), np.minimum(1, lines.shape[1] * below.min(1))
    p = np.minimum(1, 2 * np.minimum(win, defeat))
    for board in range(5):
        assert beside_the_least(list(lines[board])) == (pytest.approx(p[board]), win[board] < defeat[board])
    return p, win < defeat


def none_worth_the_name(values: np.ndarray, margin: float) -> np.ndarray:
    """`equivalence` of boards × … × seeds."""
    above = stats.ttest_1samp(values, -margin, axis=-1, alternative="greater").pvalue
    below = stats.ttest_1samp(values, margin, axis=-1, alternative="less").pvalue
    p = np.maximum(above, below)
    for board in range(5):
        some = values[board] if values.ndim == 2 else values[board, 0]
        assert equivalence([some], 0.0, margin) == pytest.approx(p[board] if values.ndim == 2 else p[board, 0])
    return p


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_a_family_without_any_effect_is_wrong_in_at_most_one_board_of_twenty(seeds, correlation):
    """Twelve tests a board; the first four beside three controls each, and all with a margin that is out of reach."""
    boards = 2000
    draws = noise("family", boards, 20, seeds, correlation)
    faced = [least(draws[:, 3 * i : 3 * i + 3])[0] for i in range(4)]
    p_values = np.column_stack([*faced, *(least(draws[:, [12 + i]])[0] for i in range(8))])
    of = [*range(12), *range(12)]
    wrong = np.mean([min(holm([*line, *[1.0] * 12], of)) <= 0.05 for line in p_values.tolist()])
    assert wrong <= 0.05 + slack(0.05, boards)
    assert (p_values <= 0.05).any(axis=1).mean() > 0.08, "without the correction it would be wrong far more often"


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_a_family_of_effects_of_none_and_of_the_margin_is_wrong_at_most_once_in_twenty(seeds, correlation):
    """Four tests without an effect may not be called effects, four of the margin's size may not be called none: in one correction."""
    boards = 2000
    truth = np.array([0, 0, 0, 0, 1, 1, -1, -1], dtype=float)
    values = truth[:, None] + 0.2 * noise("both", boards, 8, seeds, correlation)
    differ, equal = stats.ttest_1samp(values, 0, axis=2).pvalue, none_worth_the_name(values, 1.0)
    of = [*range(8), *range(8)]
    corrected = np.array([holm(line, of) for line in np.hstack([differ, equal]).tolist()])
    false = np.hstack([corrected[:, :4], corrected[:, 12:]]) <= 0.05
    assert false.any(axis=1).mean() <= 0.05 + slack(0.05, boards)
    if seeds == 8:
        assert (corrected[:, 4:8] <= 0.05).mean() > 0.9, "and not for want of power"
        assert (corrected[:, 8:12] <= 0.05).mean() > 0.9


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_an_effect_of_the_margin_is_called_equivalent_at_most_once_in_twenty(seeds, spread):
    boards = 4000
    values = 1 + spread * noise("equivalence", boards, 1, seeds, 0.0)[:, 0]
    wrong = (none_worth_the_name(values, 1.0) <= 0.05).mean()
    assert wrong <= 0.05 + slack(0.05, boards)
    if spread == 0.3 and seeds == 8:
        assert wrong >= 0.05 - slack(0.05, boards), "and not for want of power"


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("equal", [1, 2, 6])
@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_no_number_of_controls_makes_a_false_win_or_a_false_defeat(seeds, equal, correlation):
    """Six controls, of which so many are as strong as the attack and the others far behind: 2.5 % on each side."""
    boards = 2000
    lines = noise("controls", boards, 6, seeds, correlation)
    lines[:, equal:] += 10
    p, ahead = least(lines)
    assert ((p <= 0.05) & ahead).mean() <= 0.025 + slack(0.025, boards)
    assert ((p <= 0.05) & ~ahead).mean() <= 0.025 + slack(0.025, boards)


@pytest.mark.parametrize("seeds", [3, 8])
def test_the_interval_beside_the_strongest_control_covers_what_it_should(seeds):
    boards = 150
    lines = noise("interval", boards, 4, seeds, 0.5)
    lines[:, 2:] += 1
    held = np.mean([one.low <= 0 <= one.high for one in map(least_mean, map(list, lines))])
    assert held >= 0.93 - slack(0.05, boards)


def test_the_strongest_control_on_average_taken_alone_would_make_false_defeats():
    """Why the other side is corrected for the number of controls: picked by its score and tested as if not, one errs too often."""
    lines = noise("controls", 2000, 6, 8, 0.0)
    picked = np.take_along_axis(lines, lines.mean(2).argmin(1)[:, None, None], axis=1)[:, 0]
    result = stats.ttest_1samp(picked, 0, axis=1)
    assert np.mean((result.pvalue <= 0.05) & (result.statistic < 0)) > 0.1


def test_the_best_control_of_each_seed_would_hide_a_win():
    """Why no seed has its own choice: of six controls that all lie 0.6 behind, the best of each seed is ahead of the attack."""
    lines = 0.6 + noise("each seed", 500, 6, 8, 0.0)
    assert lines.min(1).mean() < 0 < lines.mean()
