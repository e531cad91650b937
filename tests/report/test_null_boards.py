"""Simulated boards on which no attack has anything: how many of their lines are bold, and how often intervals hold what is true.

A network's members share what makes them easy or hard, and so do its controls: the chance of a hit is Φ(a + b·z) with a normal z for each
side of each network, half of which all lines of a board have in common, for they meet the same images. ``correlation`` is that of two
images of one side before they are cut into hits and misses. An attack without effect hits members as often as controls on average, at a
rate of its own, which more candidates raise; so does a control.

What judges a line is the pages' own code. For thousands of boards it is repeated here in NumPy, and compared with that code on some boards
of each configuration, those on which all seeds are alike among them. A share of N that is wrong with a chance of p has
the standard error √(p(1 − p)/N); ``slack`` is three of them. Every draw has a seed. ``RECONBENCH_FUZZ=60``, as `make fuzz` sets it, draws
twenty times as many, other ones each time.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import NamedTuple

import fake
import numpy as np
import pytest
from fuzzing import FACTOR
from scipy import stats
from scipy.special import ndtr, ndtri

from bench.api import EXCESS_RECALL, Claim
from bench.claims.verdicts import CONTRADICTED, EQUIVALENT, REPRODUCED, Finding, Line, judge
from bench.metrics.intervals import SAME, Interval, shares_over_seeds
from bench.report.aggregate import aggregate
from bench.report.kit import lead
from bench.report.kit.groups import Group
from bench.seeds import numpy_generator
from bench.store import to_table

BOARDS = 2000 * min(FACTOR, 20)
SEEDS = (3, 4, 5, 8)
CORRELATIONS = (0.0, 0.1, 0.5, 0.9)
SHARES = [(0.02, (0.0,)), (0.02, (0.02,)), (0.2, (0.05,)), (0.5, (0.5,)), (0.2, (0.0, 0.02, 0.2)), (0.6, (0.6, 0.6, 0.3))]
CONFIGURATIONS = [(images, *shares) for images in (4, 20, 100) for shares in SHARES]  # images a side, rate of the attack, of each control
pytestmark = pytest.mark.fuzz


def slack(share: float, draws: int) -> float:
    return 3 * float(np.sqrt(share * (1 - share) / draws))


def generator(*name: object) -> np.random.Generator:
    return numpy_generator("null boards", *map(str, name), *([os.urandom(8).hex()] if FACTOR > 1 else []))


def hits(
    rng: np.random.Generator, rates: tuple[float, ...], seeds: int, images: int, correlation: float, boards: int = BOARDS
) -> np.ndarray:
    """boards × lines × sides × seeds hits, of so many images each."""
    common, own = rng.normal(size=(boards, 1, 2, seeds)), rng.normal(size=(boards, len(rates), 2, seeds))
    easy = np.sqrt(correlation / (1 - correlation)) * (common + own) / np.sqrt(2)
    chances = ndtr(ndtri(np.array(rates))[:, None, None] / np.sqrt(1 - correlation) + easy)  # of mean `rates`
    return rng.binomial(images, chances)


class Judged(NamedTuple):
    """Of each board whether its attack is surely ahead (1) or behind (−1), and its lead's interval."""

    surely: np.ndarray
    low: np.ndarray
    high: np.ndarray


def wilson(hit: np.ndarray, n: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances from the share to the ends of its interval, below and above."""
    z, share = ndtri(0.5 + level / 2), hit / n
    centre, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return share - (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n) - share


def newcombe(added: list[np.ndarray], taken: list[np.ndarray], n: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Likewise of sums of shares less others."""
    plus, minus = ([wilson(hit, n, level) for hit in side] for side in (added, taken))
    below = np.sqrt(sum(one[0] ** 2 for one in plus) + sum(one[1] ** 2 for one in minus))
    return below, np.sqrt(sum(one[1] ** 2 for one in plus) + sum(one[0] ** 2 for one in minus))


def student(values: np.ndarray, level: float) -> np.ndarray:
    """Distance from the mean to the ends."""
    return stats.t.ppf(0.5 + level / 2, values.shape[-1] - 1) * values.std(-1, ddof=1) / np.sqrt(values.shape[-1])


def differences(drawn: np.ndarray, images: int) -> np.ndarray:
    """boards × controls × seeds: the first line's excess less that of each other."""
    excess = (drawn[:, :, 0] - drawn[:, :, 1]) / images
    return excess[:, :1] - excess[:, 1:]


def beside_all(deltas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`beside_the_least` of each board: its p-value, and the side."""
    seeds = deltas.shape[-1]
    mean, spread = deltas.mean(-1), deltas.std(-1, ddof=1)
    alike = spread < SAME
    signs = np.where(np.abs(mean) < SAME, 0.5, np.where(mean > 0, 2.0**-seeds, 1 - 2.0**-seeds))
    one_sided = np.where(alike, signs, stats.t.sf(mean / np.where(alike, 1, spread / np.sqrt(seeds)), seeds - 1))
    win, defeat = one_sided.max(1), np.minimum(1, deltas.shape[1] * (1 - one_sided).min(1))
    return np.minimum(1, 2 * np.minimum(win, defeat)), np.where(win < defeat, 1, -1)


def leads(drawn: np.ndarray, images: int) -> Judged:
    """What `Lead` says of each board, whose first line is the attack's."""
    deltas, total = differences(drawn, images), drawn.sum(-1)
    alike, mean, n = deltas.std(-1, ddof=1) < SAME, deltas.mean(-1), images * drawn.shape[-1]
    counts = [total[:, :1, 0], total[:, 1:, 1]], [total[:, :1, 1], total[:, 1:, 0]]
    wider = 1 - 0.05 / deltas.shape[1]
    low = mean - np.where(alike, newcombe(*counts, n, 0.95)[0], student(deltas, 0.95))
    high = mean + np.where(alike, newcombe(*counts, n, wider)[1], student(deltas, wider))
    p, side = beside_all(deltas)
    return Judged(np.where(p <= 0.05, side, 0), low.min(1), high.min(1))


def strongest(drawn: np.ndarray, attacks: int) -> np.ndarray:
    """The differences of the best of the first so many lines, on average, from the others."""
    best = (drawn[:, :attacks, 0] - drawn[:, :attacks, 1]).mean(-1).argmax(1)
    picked = np.take_along_axis(drawn, best[:, None, None, None], axis=1)
    return differences(np.concatenate([picked, drawn[:, attacks:]], axis=1), 20)


def line(name: str, role: str, sides: np.ndarray, images: int, setting: int = 0) -> Group:
    """A line of a board as `aggregate` makes it, of hits by side and seed."""
    known = zip(("members", "controls"), sides.tolist(), strict=True)
    counted = {side: {seed: (hit, images) for seed, hit in enumerate(found)} for side, found in known}
    values = ((sides[0] - sides[1]) / images).tolist()
    group = Group("g", "", {}, setting, "reconstruction", name, "", role, "", {}, [], Counter(), [], EXCESS_RECALL, counted=counted)
    group.per_seed, group.excess = dict(enumerate(values)), Interval(float(np.mean(values)), 0.0, 0.0)  # of which the estimate counts
    return group


def of_pages(board: np.ndarray, images: int) -> lead.Lead:
    attack, *controls = (line(f"line {i}", "control" if i else "attack", sides, images) for i, sides in enumerate(board))
    return lead.lead(attack, controls)


def settled(p: float, side: int) -> lead.Lead:
    """A lead of which that is known."""
    found = lead.Lead(line("line", "attack", np.zeros((2, 1)), 20), {}, {}, {})
    vars(found)["tested"] = p, side
    return found


def some(alike: np.ndarray) -> list[int]:
    """Boards to be compared: the first, and those on which seeds are alike."""
    return [0, 1, *np.flatnonzero(alike)[:2].tolist()]


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_on_null_boards_at_most_one_line_of_twenty_is_bold_and_its_lead_holds_nothing(seeds, correlation):
    """Ahead, and behind, of one control and of three, some or all of which are as good as the attack: 5 % is above what is found by more
    than its error."""
    for images, rate, controls in CONFIGURATIONS:
        drawn = hits(generator("bold", images, rate, controls, seeds, correlation), (rate, *controls), seeds, images, correlation)
        found = leads(drawn, images)
        for board in some(np.ptp(drawn[:, :, 0] - drawn[:, :, 1], axis=-1).max(-1) == 0):
            known = of_pages(drawn[board], images)
            assert (known.surely, known.interval.low, known.interval.high) == pytest.approx([column[board] for column in found])
        case = (images, rate, controls)
        for share in ((found.surely > 0).mean(), (found.surely < 0).mean()):
            assert share + slack(share, BOARDS) <= 0.05, case
        assert ((found.low <= 0) & (found.high >= 0)).mean() >= 0.93 - slack(0.07, BOARDS), case


def test_a_board_with_something_is_bold_nearly_always():
    """And not for want of power: 0.4 more, by eight seeds of 20 images."""
    drawn = hits(generator("power"), (0.5, 0.1, 0.1), 8, 20, 0.1)
    drawn[:, 0, 1] = drawn[:, 1, 1]
    assert (leads(drawn, 20).surely > 0).mean() > 0.95


@pytest.mark.parametrize(("attacks", "controls", "settings"), [(1, 1, 1), (3, 1, 1), (8, 1, 1), (8, 3, 1), (1, 1, 8), (4, 1, 4)])
@pytest.mark.parametrize("seeds", [3, 8])
def test_a_question_without_an_effect_is_answered_open_in_nineteen_of_twenty(attacks, controls, settings, seeds):
    """The strongest attack is picked by its score, at each of several settings: neither may make a win."""
    boards = 1000 * min(FACTOR, 20)
    drawn = hits(generator("words", attacks, controls, settings, seeds), (0.3,) * (attacks + controls), seeds, 20, 0.3, boards * settings)
    picked = strongest(drawn, attacks)
    p, side = beside_all(picked)
    p = np.where(side > 0, np.minimum(1, attacks * p), p).reshape(boards, settings)
    side = side.reshape(boards, settings)
    words = []
    for board in range(boards):
        made = [settled(float(one), int(way)) for one, way in zip(p[board], side[board], strict=True)]
        words.append(lead.beyond(made))
        if board < 5:
            groups = [
                line(f"line {i}", "attack" if i < attacks else "control", sides, 20, setting)
                for setting in range(settings)
                for i, sides in enumerate(drawn[board * settings + setting])
            ]
            known = lead.leads(groups)
            assert [one.tested[0] for one in known] == pytest.approx([one.tested[0] for one in made])
            assert [one.surely for one in known] == [one.surely for one in made]
            assert lead.beyond(known) == words[-1]
    wrong = np.mean([word not in ("open", "no") for word in words])
    assert wrong <= 0.05 + slack(0.05, boards), "0.11 without a correction, of eight attacks beside one control"


NULLS = [(shares, correlation) for shares in ((0.02, 0.02), (0.2, 0.2), (0.5, 0.5)) for correlation in CORRELATIONS]
EFFECTS = [(shares, correlation) for shares in ((0.3, 0.05), (0.8, 0.2)) for correlation in (0.0, 0.1)]


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize(("shares", "correlation"), [*NULLS, *EFFECTS])
def test_the_interval_of_excess_recall_holds_what_is_true(seeds, correlation, shares):
    """In 93 of a hundred boards at least: of nulls at any correlation; of attacks that have something where no network is wholly taken or
    missed, for a handful of such may all be of one kind, and then no method knows of the other."""
    for images in (4, 20, 100):
        rng = generator("excess", shares, images, seeds, correlation)
        members, controls = (hits(rng, (share,), seeds, images, correlation)[:, 0, 0] for share in shares)
        values, n = (members - controls) / images, images * seeds
        below, above = newcombe([members.sum(-1)], [controls.sum(-1)], n, 0.95)
        half = student(values, 0.95)
        low = np.maximum(-1, values.mean(-1) - np.maximum(half, below))
        high = np.minimum(1, values.mean(-1) + np.maximum(half, above))
        for board in some(np.ptp(values, axis=-1) == 0):
            found = shares_over_seeds(members[board], [images] * seeds, controls[board], [images] * seeds)[0]
            assert found == pytest.approx((values[board].mean(), low[board], high[board]))
            assert found.low < found.high
        held = ((low <= shares[0] - shares[1]) & (shares[0] - shares[1] <= high)).mean()
        assert held >= 0.93 - slack(0.07, BOARDS), images


def family(effects: np.ndarray, margins: tuple[float | None, ...]) -> list[Finding]:
    """Claims of one paper in one grid, with effects by claim and seed; not judged yet."""
    return [
        Finding(
            "haim_kkt",
            Claim(name=f"claim_{i}", text="It works.", source="ours", grids=("g",), test="level", margin=margin),
            "g",
            {"": Line(dict(enumerate(one.tolist())))},
        )
        for i, (one, margin) in enumerate(zip(effects, margins, strict=True))
    ]


@pytest.mark.parametrize(("seeds", "correlation"), [(3, 0.5), (8, 0.0)])
def test_a_family_of_claims_without_effects_has_a_verdict_at_most_once_in_twenty(seeds, correlation):
    """Five lines beside one control, each a claim of one paper: of an effect that is not there. That there is none may be said."""
    boards = 250 * min(FACTOR, 20)
    drawn = hits(generator("family", seeds, correlation), (0.3,) * 6, seeds, 20, correlation, boards)
    effects = differences(drawn, 20)
    wrong = sum(
        any(one.verdict in (REPRODUCED, CONTRADICTED) for one in judge(family(board, (None, None, None, 0.5, 0.5)))) for board in effects
    )
    assert wrong / boards <= 0.05 + slack(0.05, boards)


@pytest.mark.parametrize(("seeds", "correlation"), [(3, 0.0), (8, 0.5)])
def test_an_effect_of_the_margin_is_called_none_at_most_once_in_twenty(seeds, correlation):
    """Three claims whose effects are the margin, 0.2: members and controls are hit with chances of 0.4 and 0.2."""
    boards = 250 * min(FACTOR, 20)
    rng = generator("margin", seeds, correlation)
    members, controls = (hits(rng, (rate,) * 3, seeds, 20, correlation, boards)[:, :, 0] for rate in (0.4, 0.2))
    values = (members - controls) / 20
    wrong = sum(any(one.verdict.startswith(EQUIVALENT) for one in judge(family(board, (0.2, 0.2, 0.2)))) for board in values)
    assert wrong / boards <= 0.05 + slack(0.05, boards)


def test_a_bootstrap_over_three_seeds_would_not():
    """Why there is none: seeds drawn again, and in each its images, of networks that are easy or hard as a whole."""
    rng = generator("bootstrap")
    members, controls = (hits(rng, (0.5,), 3, 20, 0.5)[:300, 0, 0] / 20 for _ in range(2))
    again = rng.integers(3, size=(300, 400, 3))
    drawn = [rng.binomial(20, np.take_along_axis(side[:, None], again, axis=2)) / 20 for side in (members, controls)]
    low, high = np.quantile((drawn[0] - drawn[1]).mean(2), (0.025, 0.975), axis=1)
    assert ((low <= 0) & (high >= 0)).mean() < 0.88


def test_lines_are_those_that_pages_make_of_rows():
    """Of one board the rows, with hits as shares: the same counts, lead and mark."""
    drawn = hits(generator("rows"), (0.6, 0.2, 0.1), 5, 20, 0.3)[0]
    made, _ = fake.grid("g", "weight_decay", [0.0], {"haim_kkt": [0.5], "mean_image": [0.1], "heldout_images": [0.1]}, 5, thumbnails=False)
    for row in made:
        members, controls = drawn[["haim_kkt", "mean_image", "heldout_images"].index(row["attack"]), :, row["seed"]] / 20
        row |= {"recall_members": members, "recall_controls": controls, "excess_recall": members - controls}
    groups = {group.attack: group for group in aggregate(to_table(made, "scores").to_pandas())}
    known = of_pages(drawn, 20)
    assert groups["haim_kkt"].counted == known.attack.counted
    assert groups["haim_kkt"].lead == pytest.approx(known.interval)
    assert groups["haim_kkt"].surely == known.surely
    assert groups["haim_kkt"].excess == shares_over_seeds(drawn[0, 0], [20] * 5, drawn[0, 1], [20] * 5)[0]
