"""Claims: rows with effects known beforehand get the right verdict, and declarations with faults are told so and break nothing else."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import fake
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_grid import clean_registry, write_plugin  # noqa: F401

from bench import registry, report
from bench.api import Claim, Setting
from bench.check import check_plugin
from bench.claims.declarations import Declared, declared, faults
from bench.claims.effects import concordance
from bench.claims.findings import findings, in_grid
from bench.claims.verdicts import (
    BROKEN,
    CONTRADICTED,
    NO_CONTROL,
    NO_ROWS,
    OPEN,
    REPRODUCED,
    UNDECIDED,
    Finding,
    Line,
    judge,
)
from bench.cli import main
from bench.metrics.intervals import newcombe
from bench.metrics.significance import beside_the_least, could_show, least_mean
from bench.report import claims_page, recalled
from bench.report.grid import Grid, Seen
from bench.report.kit.text import escape
from bench.store import images_files, load_results, publish, scores_files, setting_row, to_table

ROOT = Path(__file__).resolve().parents[2]
SPREAD = (0.0, 0.02, -0.02, 0.01, -0.01)  # of five seeds around an effect
pytestmark = pytest.mark.usefixtures("clean_registry")


def claim(**more) -> Claim:
    return Claim(**({"name": "it_works", "text": "It works.", "source": "ours", "grids": ("g",), "test": "level"} | more))


def row(seed: int, excess: float, attack: str = "haim_kkt", **more) -> dict:
    """A score row with 100 members and as many controls; settings, params and axes by name."""
    own = {k: more.pop(k) for k in list(more) if k in Setting.model_fields}
    params, axis = more.pop("params", {}), more.pop("axis", {})
    made = setting_row(Setting.model_validate({**own, "seed": seed}))
    return {
        **made, "grid": "g", "cell_id": f"{attack}-{seed}-{params}-{own}-{axis}", "attack": attack, "role": "attack",
        "attack_params": params, "attack_defaults": {}, "axis": axis, "status": "ok", "recall_members": max(excess, 0) + 0.1,
        "recall_controls": 0.1, "excess_recall": excess, "n_members": 100, "n_controls": 100, "dataset_display": made["dataset"], **more,
    }  # fmt: skip


def control(seed: int, excess: float, attack: str = "heldout_images", **more) -> dict:
    """A score row of a control."""
    return row(seed, excess, attack, role="control", **more)


def table(rows: list[dict]) -> pd.DataFrame:
    """Score rows, and in each grid a control at a setting of its own: without one nothing is claimed."""
    beside = [control(0, 0.0, "mean_image", dataset="gratings", grid=grid) for grid in sorted({r["grid"] for r in rows})]
    return to_table([*rows, *beside], "scores").to_pandas()


def judged(effects: dict[str, list[float]] | list[float], name: str = "it_works", **more) -> Finding:
    """A finding with those values, beside each thing that has a name; not judged yet."""
    lines = effects if isinstance(effects, dict) else {"": effects}
    return Finding("haim_kkt", claim(name=name, **more), "g", {k: Line(dict(enumerate(v))) for k, v in lines.items()})


def one(said: Claim, rows: list[dict], images: list[dict] | None = None, owner: str = "haim_kkt") -> Finding:
    """The finding of a single claim in its single grid."""
    scores = table(rows)
    [found] = findings(scores, to_table(images or [], "images").to_pandas(), [Declared(owner, said)])
    return found


# --- verdicts of each test ------------------------------------------------------------------------------------------------------------


def test_an_attack_with_excess_recall_works_and_one_below_its_controls_does_not():
    good = one(claim(), [row(s, 0.3 + e) for s, e in enumerate(SPREAD)])
    assert good.verdict == REPRODUCED
    assert good.effect.estimate == pytest.approx(0.3)
    assert good.effect.low == pytest.approx(0.3 - 2.776445 * np.std(SPREAD, ddof=1) / 5**0.5, abs=1e-5)
    assert good.beside == "200/500 : 50/500"
    assert one(claim(), [row(s, -0.3 + e) for s, e in enumerate(SPREAD)]).verdict == CONTRADICTED
    assert one(claim(expected="below"), [row(s, -0.3 + e) for s, e in enumerate(SPREAD)]).verdict == REPRODUCED


def test_beside_a_claim_about_a_watermark_stand_planted_labels():
    theft = {"track": "stealing", "recall_members": None, "recall_controls": None, "planted_transfer_clean": 0.05}
    rows = [row(s, 0.0, "steal_labels", planted_transfer=0.1 + e, **theft) for s, e in enumerate(SPREAD)]
    rows += [row(s, 0.0, "steal_gradients", planted_transfer=0.6 + 2 * e, **theft) for s, e in enumerate(SPREAD)]
    a, b = {"attack": "steal_gradients"}, {"attack": "steal_labels"}
    found = one(claim(test="difference", a=a, b=b, column="planted_transfer"), rows)
    assert found.verdict == REPRODUCED
    assert found.effect.estimate == pytest.approx(0.5)
    assert found.beside == "planted labels 60.0 % : 5.0 % against planted labels 10.0 % : 5.0 %"


def test_a_weak_effect_is_open_and_its_line_says_what_its_seeds_could_have_shown():
    values = [0.05, -0.02, 0.04, 0.03]
    found = one(claim(), [row(s, e) for s, e in enumerate(values)])
    assert found.verdict == OPEN
    assert found.p > 0.05
    assert found.shown == could_show(values, 0.05)
    page = claims_page.page([found])
    assert f"| {found.shown:.3f} | 4 |" in page
    assert "needed" not in page, "no page invites anyone to stop when it suits"


def test_the_family_of_tests_decides_what_one_test_would_have_decided_alone():
    rows = [row(s, 0.1 + 3 * e) for s, e in enumerate(SPREAD)]
    assert one(claim(), rows).verdict == REPRODUCED
    weak = [Declared("haim_kkt", claim(name=f"claim_{i}")) for i in range(20)]
    found = findings(table(rows), pd.DataFrame(), weak)
    assert {f.verdict for f in found} == {OPEN}
    assert found[0].corrected == pytest.approx(20 * found[0].p)
    assert found[0].tests == 20
    assert found[0].shown == pytest.approx(could_show(list(found[0].values.values()), 0.05 / 20))


def test_no_rows_one_seed_and_equal_seeds():
    none = one(claim(grids=("h",)), [row(0, 0.3)])
    assert none.verdict == NO_ROWS
    assert "python -m bench run --grid h" in claims_page.page([none])
    failed = one(claim(), [row(s, 0.3, status="failed", reason="boom") for s in range(3)])
    assert (failed.verdict, failed.values) == (NO_ROWS, {})
    single = one(claim(), [row(0, 0.3)])
    assert single.verdict == OPEN
    assert "a single seed" in single.reason
    equal = one(claim(), [row(s, 0.3) for s in range(4)])
    assert equal.p == 2**-3
    assert equal.verdict == OPEN
    assert equal.shown is None, "without a spread nothing is told"
    assert one(claim(), [row(s, 0.3) for s in range(6)]).verdict == REPRODUCED
    zero = one(claim(), [row(s, 0.0) for s in range(6)])
    assert (zero.verdict, zero.p, zero.shown) == (OPEN, 1, None)


def test_a_larger_scale_of_a_grid_is_a_line_of_its_own_where_it_has_rows():
    rows = [row(s, 0.3 + e) for s, e in enumerate(SPREAD)]
    rows += [r | {"grid": "g_full", "status": "failed", "reason": "no memory"} for r in rows] + [r | {"grid": "g_other"} for r in rows]
    small, full = findings(table(rows), pd.DataFrame(), [Declared("haim_kkt", claim())])
    assert (small.grid, small.verdict) == ("g", REPRODUCED)
    assert (full.grid, full.verdict) == ("g_full", NO_ROWS)
    assert "`python -m bench run --grid g --scale full`" in claims_page.page([small, full])
    of_others = [r | {"attack": "mean_image"} if r["grid"] == "g_full" else r for r in rows]
    [only] = findings(table(of_others), pd.DataFrame(), [Declared("haim_kkt", claim())])
    assert only.grid == "g"


def test_a_column_that_the_rows_do_not_fill_is_no_effect():
    found = one(claim(column="mse_mean"), [row(s, 0.3) for s in range(3)])
    assert found.verdict == NO_ROWS
    assert "mse_mean" in found.reason


def test_failed_cells_are_told_and_points_that_a_seed_lacks_count_for_no_seed():
    rows = [row(s, 0.3 + e, dataset="lfw_faces") for s, e in enumerate(SPREAD)]
    rows += [row(s, 0.9, dataset="photo_tiles") for s in range(4)] + [row(4, 0.9, dataset="photo_tiles", status="failed", reason="x")]
    found = one(claim(), rows)
    assert found.effect.estimate == pytest.approx(0.3)
    assert "1 failed" in found.reason
    assert "1 of 2 points" in found.reason
    apart = [row(s, 0.3 + e, dataset=d) for (s, e), d in zip(enumerate(SPREAD), ["lfw_faces", "photo_tiles"] * 2 + ["mnist"], strict=True)]
    assert "no point that all seeds have" in one(claim(), apart).reason


def test_two_lines_are_compared_within_seed_and_setting():
    """Data sets and seeds differ by far more than the two sides do: only pairs show it."""
    rows = []
    for s, e in enumerate(SPREAD):
        for d, base in (("lfw_faces", 0.1), ("photo_tiles", 0.7)):
            rows.append(row(s, base + 0.05 * s, dataset=d, weight_decay=0))
            rows.append(row(s, base + 0.05 * s + 0.1 + e / 5, dataset=d, weight_decay=0.01))
    rows.append(row(0, 0.9, dataset="mnist", weight_decay=0.01))  # without a partner
    decays = claim(test="difference", a={"weight_decay": "> 0"}, b={"weight_decay": 0})
    found = one(decays, rows)
    assert found.verdict == REPRODUCED
    assert found.effect.estimate == pytest.approx(0.1)
    assert " against " in found.beside
    swapped = one(dataclasses.replace(decays, a=decays.b, b=decays.a), rows)
    assert swapped.verdict == CONTRADICTED
    assert swapped.effect.estimate == pytest.approx(-0.1)


def test_scores_of_two_protocols_never_meet_in_one_effect():
    """Twelve seeds by the earlier one, three of them by the later one too, on one side alone or on both."""
    said = claim(test="difference", a={"weight_decay": 0.0}, b={"weight_decay": 0.01})

    def rows(protocol: str, seeds: range, decays: tuple[float, ...], shift: float) -> list[dict]:
        return [
            row(seed, 0.1 + shift + (0.3 if decay == 0 else 0.0) + 0.01 * (seed % 3), weight_decay=decay, protocol=protocol)
            for seed in seeds for decay in decays
        ]  # fmt: skip

    earlier = rows("v1", range(12), (0.0, 0.01), 0.0)
    for decays in ((0.0,), (0.0, 0.01)):
        found = one(said, [*earlier, *rows("v2", range(3), decays, 0.3)])
        assert list(found.values.values()) == pytest.approx([0.3] * 12)
        assert f"{3 * len(decays)} cells of another score protocol left out" in found.reason
    found = one(said, [*earlier[:6], *rows("v2", range(3), (0.0, 0.01), 0.3)])
    assert list(found.values.values()) == pytest.approx([0.3] * 3)
    apart = [*rows("v1", range(12), (0.0,), 0.0), *rows("v2", range(12), (0.01,), 0.0)]
    assert one(said, apart).verdict == NO_ROWS


def test_columns_that_differ_together_must_be_named_as_tied():
    rows = [row(s, 0.2 + e, n_per_class=10, axis={"task": "binary"}) for s, e in enumerate(SPREAD)]
    rows += [
        row(s, 0.5, "multiclass_kkt", classes=10, n_per_class=2, loss="ce", axis={"task": "10 classes"}) for s in range(5)
    ]  # fmt: skip
    said = claim(
        test="difference", a={"axis:task": "10 classes"}, b={"axis:task": "binary"}, where={"attack": ("haim_kkt", "multiclass_kkt")}
    )
    assert one(said, rows).verdict == NO_ROWS
    found = one(dataclasses.replace(said, tied=("attack", "classes", "n_per_class", "loss")), rows)
    assert found.verdict == REPRODUCED
    assert found.effect.estimate == pytest.approx(0.3)


def test_masks_are_compared_with_random_ones_of_their_own_size():
    rows = []
    for s, e in enumerate(SPREAD):
        for keep, level in ((0.25, 0.1), (0.5, 0.4)):
            rows.append(row(s, level + 0.05 + e / 5, "mnemonist_kkt", params={"keep": keep}))
            rows.append(row(s, level, "random_mask_kkt", params={"keep": keep}))
    rows += [row(s, 0.9, "random_mask_kkt", params={"keep": 0.9}) for s in range(5)]
    said = claim(test="difference", a={"attack": "mnemonist_kkt"}, b={"attack": "random_mask_kkt"}, match=("param:keep",))
    assert one(said, rows).effect.estimate == pytest.approx(0.05)
    assert one(dataclasses.replace(said, match=()), rows).effect.estimate < 0


def test_the_best_control_is_the_one_to_beat():
    rows = [row(s, 0.3 + e) for s, e in enumerate(SPREAD)]
    rows += [row(s, 0.0, "mean_image") for s in range(5)] + [row(s, 0.4, "heldout_images") for s in range(5)]
    said = claim(test="beats", a={"attack": "haim_kkt"}, b={"attack": ("mean_image", "heldout_images")})
    found = one(said, rows)
    assert (found.verdict, found.against) == (CONTRADICTED, "heldout_images")
    assert found.beside == "200/500 : 50/500 against 250/500 : 50/500"
    assert one(dataclasses.replace(said, test="difference"), rows).verdict == REPRODUCED  # of their mean


def test_a_trend_is_the_slope_a_doubling():
    rows = [row(s, 0.8 - 0.1 * k + e, n_per_class=5 * 2**k) for s, e in enumerate(SPREAD) for k in range(4)]
    noisy = [r | {"excess_recall": r["excess_recall"] + 0.001 * (i % 3)} for i, r in enumerate(rows)]
    found = one(claim(test="trend", along="n_per_class", expected="below"), noisy)
    assert found.verdict == REPRODUCED
    assert found.effect.estimate == pytest.approx(-0.1, abs=0.002)
    assert one(claim(test="trend", along="n_per_class"), noisy).verdict == CONTRADICTED
    widths = [row(s, 0.1 * k + 0.01 * e * k, hidden=[2**k]) for s, e in enumerate(SPREAD) for k in range(3, 6)]
    assert one(claim(test="trend", along="hidden"), widths).effect.estimate == pytest.approx(0.1, abs=1e-3)
    assert one(claim(test="trend", along="weight_decay"), rows).verdict == NO_ROWS  # all are 0, which has no logarithm


@pytest.mark.parametrize(("slope", "verdict"), [(0.1, "helps"), (-0.1, "hurts"), (0.0, OPEN)])
def test_a_question_without_a_side_gets_its_answer(slope, verdict):
    said = claim(test="trend", along="epochs", expected="either", words=("helps", "hurts"))
    rows = [row(s, 0.4 + (slope + e) * k, epochs=1000 * 2**k) for s, e in enumerate(SPREAD) for k in range(3)]
    assert one(said, rows).verdict == verdict


def test_concordance_by_hand():
    runs = [
        {"loss": 0.1, "members": 5, "controls": 0},
        {"loss": 0.2, "members": 7, "controls": 1},
        {"loss": 0.3, "members": 5, "controls": 0},  # as many as the first: no pair
        {"loss": None, "members": 1, "controls": 1},  # diverged: the highest loss
    ]
    # pairs that differ: (0, 1) no, (0, 3) yes, (1, 2) yes, (1, 3) yes, (2, 3) yes
    assert concordance(runs) == pytest.approx(4 / 5)
    assert concordance([{"loss": None, "members": 1, "controls": 0}, {"loss": None, "members": 2, "controls": 0}]) == 0.5
    assert concordance(runs[:1]) is None
    assert concordance([runs[0], runs[2]]) is None


@pytest.mark.parametrize(("noise", "verdict"), [(0.02, CONTRADICTED), (3.0, REPRODUCED)])
def test_a_low_loss_that_tells_recovery_contradicts_that_it_does_not(noise, verdict):
    rng = np.random.default_rng(3)
    rows = []
    for seed in range(6):
        loss = rng.random(40)
        hits = np.rint(50 * (1 - loss) + 20 * noise * rng.normal(size=40) + 100)
        runs = [{"run": k, "loss": float(v), "members": int(h), "controls": 3} for k, (v, h) in enumerate(zip(loss, hits, strict=True))]
        rows.append(row(seed, 0.3, sweep_runs=json.dumps(runs)))
    found = one(claim(test="concordance", level=0.9, expected="below"), rows)
    assert found.verdict == verdict
    assert 0 <= found.effect.estimate <= 1
    assert one(claim(test="concordance", level=0.9), [row(0, 0.3), row(1, 0.3)]).reason == "the rows hold no sweep"


def margin_rows(effect: float) -> tuple[list[dict], list[dict]]:
    """Five cells whose members' SSIM falls with the margin by ``effect``, while that of controls does not."""
    rng = np.random.default_rng(5)
    rows, images = [row(s, 0.3) for s in range(5)], []
    for made in rows:
        for split, slope in (("member", effect), ("control", 0.0)):
            margin = rng.uniform(1, 2, 30) if split == "member" else rng.normal(0, 2, 30)
            ssim = 0.5 - slope * margin + 0.1 * rng.normal(size=30)
            for i in range(30):
                image = {"cell_id": made["cell_id"], "split": split, "index": i, "label": i % 2, "ssim": ssim[i], "margin": margin[i]}
                images.append(image | ({"multiplier": 3 - margin[i]} if split == "member" else {}))
    return rows, images


def test_members_near_the_margin_are_told_by_their_ranks_beside_the_controls():
    said = claim(test="margin", column="ssim", along="margin", expected="below")
    rows, images = margin_rows(0.4)
    found = one(said, rows, images)
    assert found.verdict == REPRODUCED
    assert found.effect.estimate < -0.4
    assert "ρ −0." in found.beside
    assert one(said, *margin_rows(-0.4)).verdict == CONTRADICTED
    assert one(said, *margin_rows(0.0)).verdict == OPEN
    assert one(dataclasses.replace(said, along="multiplier", expected="above"), rows, images).verdict == REPRODUCED
    assert "no margin" in one(said, rows).reason


# --- controls -------------------------------------------------------------------------------------------------------------------------


def test_what_works_faces_every_control_of_its_setting_each_by_itself():
    """Beside the mean of the controls, and beside all but the strongest, it would be reproduced."""
    rows = [row(s, 0.3 + e) for s, e in enumerate(SPREAD)]
    weak = [control(s, 0.0, "mean_image") for s in range(5)]
    strong = [control(s, 0.29 - e, "first_layer_weights") for s, e in enumerate(SPREAD)]
    said = claim(test="works")
    assert one(said, [*rows, *weak]).verdict == REPRODUCED
    found = one(said, [*rows, *weak, *strong])
    assert (found.verdict, found.against) == (OPEN, "first_layer_weights")
    beside = [[0.3 + e - (0.29 - e) for e in SPREAD], [0.3 + e for e in SPREAD]]
    assert found.p == pytest.approx(beside_the_least(beside)[0])
    assert found.effect == pytest.approx(least_mean(beside))
    assert found.beside == "200/500 : 50/500 against 195/500 : 50/500"
    beaten = one(said, [*rows, *weak, *(r | {"excess_recall": 0.5} for r in strong)])
    assert (beaten.verdict, beaten.effect.estimate) == (CONTRADICTED, pytest.approx(-0.2))


def test_a_claim_that_puts_the_effect_below_faces_every_control_too():
    rows = [row(s, 0.0, mse_mean=0.1 + e / 10) for s, e in enumerate(SPREAD)]
    said = claim(test="works", column="mse_mean", expected="below")
    far, near = (
        [control(s, 0.0, name, mse_mean=error) for s in range(5)] for name, error in (("mean_image", 0.5), ("nearest_shadow", 0.2))
    )
    found = one(said, [*rows, *far, *near])
    assert (found.verdict, found.against) == (REPRODUCED, "nearest_shadow")
    assert found.effect.low < -0.1 < found.effect.high < 0
    assert found.effect.estimate == pytest.approx(-0.1)
    near = [r | {"mse_mean": 0.05} for r in near]
    assert one(said, [*rows, *far, *near]).verdict == CONTRADICTED


def test_the_nearest_public_image_is_a_control_like_the_others():
    informed = {"track": "informed", "recall_members": 0.87, "excess_recall": 0.6}
    rows = [row(s, 0.0, **informed | {"recall_members": 0.87 + e, "pool_recall": 0.997}) for s, e in enumerate(SPREAD)]
    rows += [control(s, 0.0, "nearest_shadow", **informed | {"recall_members": 0.5, "pool_recall": 0.997}) for s in range(5)]
    said = claim(test="works", column="recall_members")
    assert one(said, rows).verdict == REPRODUCED
    found = one(dataclasses.replace(said, null="pool_recall"), rows)
    assert (found.verdict, found.against) == (CONTRADICTED, "pool_recall")
    assert found.effect.estimate == pytest.approx(-0.127)


def test_controls_of_another_track_seed_or_setting_are_not_those_of_the_setting():
    rows = [row(s, 0.3 + e) for s, e in enumerate(SPREAD)]
    elsewhere = [control(s, 0.9, "nearest_shadow", track="informed") for s in range(5)]
    elsewhere += [control(s, 0.9, "heldout_images", weight_decay=0.01) for s in range(5)]
    elsewhere += [control(s + 50, 0.9, "mean_image") for s in range(5)]
    found = one(claim(test="works"), [*rows, *elsewhere])
    assert (found.verdict, found.lines) == (NO_CONTROL, {})
    assert "no control has scores at a setting of the claim" in found.reason
    assert one(claim(test="works"), [*rows, *elsewhere, *(control(s, 0.0) for s in range(5))]).verdict == REPRODUCED


@pytest.mark.parametrize(
    "more",
    [
        {"test": "works"},
        {"test": "level"},
        {"test": "difference", "a": {"weight_decay": "> 0"}, "b": {"weight_decay": 0}},
        {"test": "trend", "along": "weight_decay"},
    ],
)
def test_a_grid_without_a_control_cannot_make_a_claim(more):
    rows = [row(s, (0.3 + e) * (1 + decay * 100), weight_decay=decay) for s, e in enumerate(SPREAD) for decay in (0, 0.01, 0.02)]
    broken = [control(s, 0.0, weight_decay=decay, status="failed", reason="boom") for s in range(5) for decay in (0, 0.01, 0.02)]
    said = [Declared("haim_kkt", claim(**more))]
    [found] = findings(to_table([*rows, *broken], "scores").to_pandas(), pd.DataFrame(), said)
    assert (found.verdict, found.effect) == (NO_CONTROL, None)
    assert "| no control (the grid holds no control with scores) | — |" in claims_page.page([found])
    for r in broken:
        r["status"] = "ok"
    [found] = findings(to_table([*rows, *broken], "scores").to_pandas(), pd.DataFrame(), said)
    assert found.verdict == REPRODUCED


def test_a_control_that_is_not_everywhere_is_faced_where_it_is_and_that_is_said():
    rows = [row(s, 0.3 + e, weight_decay=decay) for s, e in enumerate(SPREAD) for decay in (0, 0.01)]
    rows += [control(s, 0.0, weight_decay=decay) for s in range(5) for decay in (0, 0.01)]
    some = [control(s, 0.4, "row_kmeans", weight_decay=0) for s in range(3)]
    found = one(claim(test="works"), [*rows, *some])
    assert found.against == "row_kmeans"
    assert found.effect.estimate == pytest.approx(-0.1)
    assert "row_kmeans: at 1 of 2 points only" in found.reason
    assert "row_kmeans: at 3 of 5 seeds only" in found.reason


def test_a_control_that_is_claimed_to_work_does_not_face_itself():
    rows = [control(s, 0.3 + e, "louder_mean") for s, e in enumerate(SPREAD)] + [control(s, 0.0, "mean_image") for s in range(5)]
    found = one(claim(test="works"), rows, owner="louder_mean")
    assert (found.verdict, list(found.lines)) == (REPRODUCED, ["mean_image"])


def test_where_all_seeds_have_the_same_value_the_interval_comes_from_the_counts():
    """0 : 0 everywhere: the t interval has no width, and no effect is not proven by that."""
    zero = {"recall_members": 0.0, "recall_controls": 0.0}
    found = one(claim(), [row(s, 0.0, **zero) for s in range(5)])
    assert found.effect == pytest.approx(newcombe([(0, 500)], [(0, 500)]))
    assert found.effect.low < 0 < found.effect.high
    beside = one(claim(test="works"), [row(s, 0.0, **zero) for s in range(5)] + [control(s, 0.0, **zero) for s in range(5)])
    assert beside.effect == pytest.approx(newcombe([(0, 500), (0, 500)], [(0, 500), (0, 500)]))
    one_in_ten = one(claim(expected="below"), [row(s, 0.1, recall_members=0.1, recall_controls=0.0) for s in range(5)])
    assert one_in_ten.effect == pytest.approx(newcombe([(50, 500)], [(0, 500)]))
    assert "[−0.0076, +0.0076]" in claims_page.page([found])


# --- interaction ----------------------------------------------------------------------------------------------------------------------


def test_an_interaction_is_the_difference_of_two_differences_paired_by_seed():
    """Decay adds 0.3 to an ordinary start and takes 0.1 from a small one; seeds differ by more, and a start without a pair counts not."""
    rows = []
    for s, e in enumerate(SPREAD):
        for start, values in ((None, (0.0, 0.3 + e / 5)), (1e-4, (0.4, 0.3)), (1e-3, (0.9,))):
            rows += [row(s, 0.1 * s + v, init_scale=start, weight_decay=d) for v, d in zip(values, (0, 0.01), strict=False)]
    said = claim(
        test="interaction", a={"weight_decay": 0.01}, b={"weight_decay": 0}, across=({"init_scale": None}, {"init_scale": "< 0.0005"})
    )
    found = one(said, rows)
    assert found.verdict == REPRODUCED
    assert found.effect.estimate == pytest.approx(0.4)
    assert one(dataclasses.replace(said, across=said.across[::-1]), rows).effect.estimate == pytest.approx(-0.4)
    assert "that with init_scale = default − that with init_scale &lt; 0.0005" in claims_page.page([found])
    without = [r for r in rows if not (r["init_scale"] == 1e-4 and r["weight_decay"])]
    nothing = one(said, without)
    assert (nothing.verdict, nothing.reason) == (NO_ROWS, "no setting has both sides in both circumstances")


# --- properties -----------------------------------------------------------------------------------------------------------------------

EFFECTS = st.lists(st.floats(-1, 1, allow_nan=False, width=32), min_size=2, max_size=6)


@given(EFFECTS, st.floats(0, 2), st.lists(EFFECTS, max_size=3))
def test_shifting_every_seed_up_never_turns_reproduced_into_contradicted(values, shift, others):
    def verdict(effects: list[float]) -> str:
        rest = [judged(other, f"other_{i}") for i, other in enumerate(others)]
        return judge([judged(effects), *rest])[0].verdict

    before, after = verdict(values), verdict([v + shift for v in values])
    assert not (before == REPRODUCED and after == CONTRADICTED)


@given(st.randoms())
@settings(max_examples=20)
def test_the_order_of_rows_changes_nothing(random):
    rows, images = margin_rows(0.3)
    rows += [row(s, 0.1 + e, weight_decay=0.01) for s, e in enumerate(SPREAD)] + [row(s, 0.0, "mean_image") for s in range(5)]
    said = [
        Declared("haim_kkt", claim()),
        Declared("haim_kkt", claim(name="b", test="difference", a={"weight_decay": "> 0"}, b={"weight_decay": 0})),
        Declared("haim_kkt", claim(name="c", test="margin", column="ssim", along="margin", expected="below")),
    ]
    said.append(Declared("haim_kkt", claim(name="d", test="works")))
    rows += [control(s, 0.05, weight_decay=decay) for s in range(5) for decay in (0, 0.01)]
    scores, pixels = table(rows), to_table(images, "images").to_pandas()
    first = claims_page.page(findings(scores, pixels, said))
    state = random.randrange(2**32)
    assert claims_page.page(findings(scores.sample(frac=1, random_state=state), pixels.sample(frac=1, random_state=state), said)) == first


# --- declarations ---------------------------------------------------------------------------------------------------------------------


def test_claims_are_read_without_pytorch_and_are_those_of_the_classes():
    code = "import sys; from bench.claims.declarations import declared; print(len(declared()[0])); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, "PyTorch was imported"
    owned = [(name, claim) for name in registry.entries("attack") for claim in registry.get("attack", name).__dict__.get("claims", ())]
    assert [(one.owner, one.claim) for one in declared()[0]] == owned
    assert len(owned) == int(done.stdout) > 20


@pytest.mark.parametrize(
    ("more", "because"),
    [
        ({"name": "It works"}, "snake_case"),
        ({"text": " "}, "empty"),
        ({"grids": "quick"}, "not a tuple"),
        ({"grids": ()}, "not a tuple"),
        ({"test": "guess"}, "not one of"),
        ({"expected": "up"}, "not one of"),
        ({"level": float("nan")}, "level"),
        ({"family": 7}, "family"),
        ({"margin": 0.0}, "margin"),
        ({"margin": float("inf")}, "margin"),
        ({"margin": "small"}, "TypeError"),
        ({"null": "pool_recall"}, "null is for the test works"),
        ({"test": "works", "null": "pool_recal"}, "Did you mean"),
        ({"test": "works", "expected": "either"}, "needs a side"),
        ({"test": "works", "a": {"attack": "haim_kkt"}}, "need both"),
        ({"test": "interaction", "a": {"weight_decay": 1}, "b": {"weight_decay": 0}}, "needs two"),
        ({"across": ({}, {})}, "needs two"),
        ({"test": "interaction", "a": {"lr": 1}, "b": {"lr": 0}, "across": ({"los": 1}, {})}, "Did you mean"),
        ({"level": "high"}, "TypeError"),
        ({"column": "excess_recal"}, "Did you mean"),
        ({"where": {"activatoin": "relu"}}, "Did you mean"),
        ({"where": {"weight_decay": "> zero"}}, "no comparison"),
        ({"a": {"weight_decay": 0}}, "need both"),
        ({"test": "difference"}, "need both"),
        ({"test": "trend", "along": "seed"}, "not a setting column"),
        ({"test": "margin", "column": "ssim", "along": "distance"}, "not margin or multiplier"),
        ({"test": "margin", "column": "excess_recall", "along": "margin"}, "does not exist"),
        ({"tied": ("los",)}, "Did you mean"),
        ({"match": ("keep",)}, "param:NAME"),
        ({"words": ("only one",)}, "not two"),
        ({"name": 7}, "TypeError"),
    ],
)
def test_faults_of_a_declaration_are_named_and_break_its_own_line_only(more, because):
    wrong = claim(**more)
    assert any(because.lower() in fault.lower() for fault in faults(wrong)), faults(wrong)
    scores = table([row(s, 0.3 + e) for s, e in enumerate(SPREAD)])
    found = findings(scores, pd.DataFrame(), [Declared("haim_kkt", wrong), Declared("haim_kkt", claim(name="good"))])
    assert {f.verdict for f in found[:-1]} == {BROKEN}
    assert found[-1].verdict == REPRODUCED
    assert "broken" in claims_page.page(found)


def test_two_claims_of_one_name_are_one_claim_and_a_fault():
    scores = table([row(s, 0.3 + e) for s, e in enumerate(SPREAD)])
    first, second = findings(scores, pd.DataFrame(), [Declared("haim_kkt", claim()), Declared("multiclass_kkt", claim())])
    assert (first.verdict, second.verdict) == (REPRODUCED, BROKEN)


def test_the_claims_of_the_registry_are_declared_without_faults_and_name_their_sources():
    said, broken = declared()
    assert not broken
    names = [one.claim.name for one in said]
    assert len(names) == len(set(names)) >= 20
    for one_ in said:
        assert not faults(one_.claim), one_
    assert {one_.owner for one_ in said} >= {"haim_kkt", "multiclass_kkt", "regression_kkt", "informed_adversary", "mnemonist_informed"}


PLUGIN = """
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim(name="noise_works", text="Noise | rebuilds <b>everything</b>.", source="a test", grids=("quick",), test="works"),
    )
"""


def with_claims(folder: Path, name: str, text: str) -> Path:
    path = write_plugin(folder, name, after=text)
    path.write_text(path.read_text().replace("import Attack, Candidates", "import Attack, Candidates, Claim"))
    return path


def test_a_plugin_declares_claims_in_the_same_way(tmp_path, capsys):
    path = with_claims(tmp_path, "noise", PLUGIN)
    [(_, outcomes)] = check_plugin(str(path))
    assert not [o for o in outcomes if not o.ok and "claims" in o.name]
    publish(*fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5], "noise": [0.5]}, thumbnails=False), tmp_path / "out")
    assert main(["claims", "--plugin", str(path), "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == str(tmp_path / "out" / "claims.md")
    assert "noise_works (quick)" in shown
    page = (tmp_path / "out" / "claims.md").read_text()
    assert "Noise \\| rebuilds &lt;b&gt;everything&lt;/b&gt;." in page


@pytest.mark.parametrize(
    ("old", "new", "because"),
    [
        ('("quick",)', '("quik",)', "no grid is named"),
        ('"noise_works"', '"binary_works"', "haim_kkt has a claim named"),
        ('test="works"', 'test="works", where={"param:scal": 1}', "no hyperparameter 'scal'"),
        ('test="works"', 'test="works", column="excess"', "does not exist"),
    ],
)
def test_check_tells_what_is_wrong_with_a_claim(tmp_path, old, new, because):
    [(_, outcomes)] = check_plugin(str(with_claims(tmp_path, "noise", PLUGIN.replace(old, new))))
    [told] = [o for o in outcomes if not o.ok and "claims" in o.name]
    assert because in told.detail


@pytest.mark.parametrize(("grid", "known"), [("frontier_full", True), ("frontier_ful", False), ("quick_full", False)])
def test_a_claim_may_be_of_a_larger_scale_of_a_grid(tmp_path, grid, known):
    [(_, outcomes)] = check_plugin(str(with_claims(tmp_path, "noise", PLUGIN.replace('("quick",)', f'("{grid}",)'))))
    [told] = [o for o in outcomes if "claims" in o.name]
    assert told.ok == known, told.detail


@pytest.mark.parametrize("declaration", ['    claims = "everything"\n', "    claims = (1, 2)\n", "    claims = None\n"])
def test_a_plugin_whose_claims_are_none_breaks_no_page(tmp_path, declaration):
    registry.load_plugin(write_plugin(tmp_path, "odd", after="\n" + declaration))
    said, broken = declared()
    assert [text for text in broken if "odd" in text] or declaration.endswith("None\n")
    assert "binary_works" in {one_.claim.name for one_ in said}
    publish(*fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=1, thumbnails=False), tmp_path / "out")
    report.render(tmp_path / "out")
    assert "binary_works" in (tmp_path / "out" / "claims.md").read_text()


# --- pages ----------------------------------------------------------------------------------------------------------------------------


def test_what_is_recalled_of_a_finding_is_judged_alike(tmp_path, monkeypatch):
    """Controls by name, counts where seeds do not differ, and reasons come back from the file as they went in."""
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path / "home"))
    zero = {"recall_members": 0.0, "recall_controls": 0.0}
    rows = [row(s, 0.0, **zero) for s in range(5)] + [control(s, 0.0, **zero) for s in range(5)]
    rows += [control(s, 0.1 + e, "mean_image") for s, e in enumerate(SPREAD[:4])]
    said = [Declared("haim_kkt", claim(test="works")), Declared("haim_kkt", claim(name="level"))]
    seen = in_grid("g", table(rows), pd.DataFrame(), said)
    assert {line.shares is None for one_ in seen.values() for line in one_.lines.values()} == {True, False}
    grid = Grid("g", "g", table(rows), [], said)
    recalled.keep(tmp_path, grid, "key", Seen("mark", [], seen))
    back = recalled.recall(tmp_path, grid, "key").findings
    assert claims_page.page(judge(list(back.values()))) == claims_page.page(judge(list(seen.values())))
    assert "[−0.0076, +0.0076]" in claims_page.page(judge(list(back.values())))


def test_rendering_writes_the_page_and_the_leaderboard_links_to_it(rendered: Path):
    assert "](claims.md)" in (rendered / "leaderboard.md").read_text()
    page = (rendered / "claims.md").read_text()
    assert page.startswith(report.markdown.GENERATED)
    assert "## Haim et al. 2022" in page
    assert "| quick | **reproduced** |" in page


def test_a_page_follows_its_declarations(tmp_path):
    publish(*fake.grid("quick", "dataset", ["lfw_faces"], {"noise": [0.5]}, seeds=2, thumbnails=False), tmp_path / "out")
    report.render(tmp_path / "out", only_if_changed=True)
    registry.load_plugin(with_claims(tmp_path, "noise", PLUGIN))
    report.render(tmp_path / "out", only_if_changed=True)
    assert "noise_works" in (tmp_path / "out" / "claims.md").read_text()


def test_a_grid_named_claims_does_not_take_the_page(tmp_path):
    publish(*fake.grid("claims", "dataset", ["lfw_faces"], {"haim_kkt": [0.5]}, seeds=1, thumbnails=False), tmp_path)
    report.render(tmp_path)
    assert "# Claims of the papers" in (tmp_path / "claims.md").read_text()
    assert (tmp_path / "claims_grid.md").exists()


def test_the_published_rows_list_every_declared_claim_once():
    said, _ = declared()
    found = findings(*load_results(ROOT / "results"), said)
    page = claims_page.page(found)
    paper, _, measured = page.partition("\n## Where a verdict comes from")
    for one_ in said:
        assert paper.count(f"{escape(one_.claim.text, 600)} (`{one_.claim.name}`) |") == 1, one_.claim.name
        assert paper.count(f"\n| `{one_.claim.name}` |") == 1
        assert measured.count(f"- `{one_.claim.name}`:") == 1
    assert [line[3:] for line in paper.splitlines() if line.startswith("## ")] == list(dict.fromkeys(one_.claim.family for one_ in said))
    behind = [line[2:-2].split(" | ") for line in paper.splitlines() if line.startswith(("| `", "| ″"))]
    assert len(behind) == len(found)
    families = list(dict.fromkeys(one_.claim.family for one_ in said))
    for line, one_ in zip(behind, sorted(found, key=lambda one_: families.index(one_.family)), strict=True):
        assert line[1] == one_.grid
        assert line[2].startswith(("**", *UNDECIDED)), line
        assert (" : " in line[-1]) == (one_.effect is not None), f"members without their controls: {line}"
        assert (line[-3] != "—") == (one_.shown is not None)


def test_the_command_reads_published_rows(tmp_path, capsys):
    for path in (*scores_files(ROOT / "results"), *images_files(ROOT / "results")):
        target = tmp_path / path.relative_to(ROOT / "results")
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    assert main(["claims", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert any(line.startswith("reproduced") and "binary_works (haim2022)" in line for line in shown)
    assert main(["claims", "--out", str(tmp_path / "nowhere")]) == 1
