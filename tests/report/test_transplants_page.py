"""Transplants on pages: the rule, what it flags, and that a flagged attack leads nothing; rows without the columns are as before."""

from __future__ import annotations

import fake
import legible_page
import numpy as np
import pandas as pd
import pytest

from bench import tracks
from bench.api import EXCESS_RECALL
from bench.report import board, render
from bench.report.aggregate import aggregate
from bench.report.grid import Grid
from bench.report.kit import lead
from bench.report.kit.figures import strongest
from bench.report.kit.flagged import fair, flagged
from bench.report.kit.page import Page
from bench.report.kit.selection import shown_cells
from bench.report.kit.transplants import ALPHA, met
from bench.report.markdown import grid_page
from bench.report.opening import answer
from bench.store import publish, to_table

ATTACKS = {"copied": [0.9, 0.9], "haim_kkt": [0.5, 0.5], "mean_image": [0.02, 0.02], "heldout_images": [0.1, 0.1]}


def with_transplants(rows: list[dict], hits: dict[str, tuple[int, int]], at: int | None = None) -> list[dict]:
    """The rows of seed 1 meet a transplant with so many hits of members and of controls, at one axis value or at all."""
    for row in rows:
        row["transplant_reason"] = "one seed in 4 meets a transplant"
        if row["seed"] == 1 and at in (None, row["axis_index"]):
            a, b = (k / row["n_members"] for k in hits.get(row["attack"], (0, 0)))
            row |= {"transplant": a - b, "transplant_members": a, "transplant_controls": b, "transplant_seed": 0, "transplant_reason": ""}
    return rows


def rows_of(hits: dict[str, tuple[int, int]], at: int | None = None) -> list[dict]:
    rows, _ = fake.grid("decay", "weight_decay", [0.0, 0.01], ATTACKS, seeds=5, thumbnails=False)
    return with_transplants(rows, hits, at)


def frame(rows: list[dict]) -> pd.DataFrame:
    return to_table(rows, "scores").to_pandas()


def page_of(rows: list[dict]) -> Page:
    scores = frame(rows)
    return Page("decay", "decay", "Decay", "Does it matter?", scores, aggregate(scores))


def headline(track):
    return tracks.of_row(track).headline


CHEAT = {"copied": (18, 1), "haim_kkt": (3, 2), "mean_image": (20, 0)}


def test_one_network_tells_a_cheat_that_finds_18_of_20_and_1():
    row = {"transplant": 0.85, "transplant_members": 0.9, "transplant_controls": 0.05, "transplant_reason": ""}
    found = met([row | {"n_members": 20, "n_controls": 20, "excess_recall": 0.9}], EXCESS_RECALL)
    assert (found.networks, found.hits, found.failed) == (1, ((18, 20), (1, 20)), 0)
    assert found.p < 1e-7
    assert found.suspect


def test_networks_of_a_line_are_pooled_and_failed_ones_count_as_nothing():
    row = {"transplant_reason": "", "n_members": 20, "n_controls": 20, "excess_recall": 0.4}
    one = row | {"transplant": 0.3, "transplant_members": 0.4, "transplant_controls": 0.1}
    assert not met([one], EXCESS_RECALL).suspect
    found = met([one, one, one], EXCESS_RECALL)
    assert (found.networks, found.hits) == (3, ((24, 60), (6, 60)))
    assert found.suspect
    lost = row | {"transplant": 0.0, "transplant_members": 0.0, "transplant_controls": 0.0, "transplant_reason": "failed on the transplant"}
    found = met([one, lost], EXCESS_RECALL)
    assert (found.networks, found.failed, found.hits) == (2, 1, ((8, 40), (2, 40)))
    assert met([row | {"transplant": None}], EXCESS_RECALL) is None


def test_an_auc_is_tested_by_ranks_and_another_headline_not_at_all():
    of_auc = headline("membership")
    row = {"transplant": 0.9, "transplant_reason": "", "n_members": 20, "n_controls": 20, "membership_auc": 0.9}
    found = met([row], of_auc)
    assert (found.hits, found.suspect) == (None, True)
    assert not met([row | {"transplant": 0.6}], of_auc).suspect
    no_test = EXCESS_RECALL.__class__("x", "x", "x", "x")
    found = met([row | {"x": 0.1}], no_test)
    assert (found.p, found.suspect, found.verdict) == (None, False, "no test of this headline")


def test_the_rule_errs_in_one_line_of_a_thousand_at_most():
    """Null boards: members and controls are hit alike, at any rate, with one to five networks of 4 to 100 members."""
    rng = np.random.default_rng(0)
    wrong = lines = 0
    for _ in range(20_000):
        n, networks, rate = int(rng.choice([4, 10, 20, 40, 100])), int(rng.integers(1, 6)), rng.beta(0.7, 1.5)
        a, b = rng.binomial(n, rate, networks), rng.binomial(n, rate, networks)
        rows = [
            {"transplant": 0.0, "transplant_members": x / n, "transplant_controls": y / n, "transplant_reason": "", "n_members": n,
             "n_controls": n, "excess_recall": 0.0}
            for x, y in zip(a.tolist(), b.tolist(), strict=True)
        ]  # fmt: skip
        wrong, lines = wrong + met(rows, EXCESS_RECALL).suspect, lines + 1
    assert wrong / lines <= ALPHA


def test_an_attack_is_flagged_in_all_its_lines_and_a_control_never():
    groups = aggregate(frame(rows_of(CHEAT, at=0)))
    assert {(g.attack, g.axis_index) for g in groups if g.flagged} == {("copied", 0), ("copied", 1)}
    for i in (0, 1):
        assert [g.attack for g in groups if g.axis_index == i][-1] == "copied", "behind the others, controls among them"
    scores = frame(rows_of(CHEAT))
    assert flagged(scores, headline) == {("decay", "copied")}
    assert set(fair(scores, headline)["attack"]) == set(ATTACKS) - {"copied"}
    assert flagged(frame(rows_of({"copied": (3, 1)})), headline) == set()


def test_a_flagged_attack_leads_nothing(tmp_path):
    page = page_of(rows_of(CHEAT))
    assert [one.attack.attack for one in lead.leads(page.groups)] == ["haim_kkt", "haim_kkt"]
    assert {group.attack for group in strongest([g for g in page.groups if g.role == "attack"])} == {"haim_kkt"}
    assert set(shown_cells(page.rows)["attack"]) == {"haim_kkt"}
    said = answer(page.groups)
    assert said[-1].startswith("Not counted: copied, not from the weights")
    assert any(text.startswith("haim_kkt") for text in said)
    alone = [group for group in page.groups if group.attack != "haim_kkt"]
    assert answer(alone)[0] == "Open: no attack has scores that hang on the weights."


def test_the_page_has_the_figures_and_is_legible():
    text = grid_page(page_of(rows_of(CHEAT)))
    part = text.partition("### Transplants")[2].partition("\n#")[0]
    assert "Not from the weights: **copied**." in part
    assert "| 0.0 | copied (**not from the weights**) | 1 | " in part
    assert "18 / 20 : 1 / 20" in part
    assert "| 0.0 | haim_kkt | 1 | " in part
    assert "as chance has it" in part
    assert "*mean_image* (control)" in part
    assert "a control" in part
    assert "| — | copied (**not from the weights**)" in text.partition("### Ranking")[2]
    assert legible_page.faults(text) == []
    honest = grid_page(page_of(rows_of({"copied": (3, 1)})))
    assert "All 4 lines of attacks find no more there than chance has it." in honest
    assert "not from the weights**" not in honest


def test_the_board_lists_it_last_and_says_why():
    text = board.page([page_of(rows_of(CHEAT))], None)
    assert "1 of 1 attacks are ahead" in text
    assert "Flagged: 1." in text
    names = [line.split("]")[0][3:] for line in text.splitlines() if line.startswith("| [") and "decay.md" in line]
    assert names[:2] == ["haim_kkt", "copied"]
    assert "| [copied](decay.md) **not from the weights** |" in text
    assert "*Not from the weights*: where the network was another seed's" in text
    assert "Not from the weights" not in board.page([page_of(rows_of({}))], None)


def test_claims_are_tested_without_its_rows(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("bench.report.grid.in_grid", lambda grid, rows, images, claims: seen.append(set(rows["attack"])) or {})
    scores = frame(rows_of(CHEAT))
    _ = Grid("decay", "decay", scores, [], []).seen
    assert seen == [set(ATTACKS) - {"copied"}]


def test_rows_without_the_columns_render_as_before():
    rows, _ = fake.grid("decay", "weight_decay", [0.0, 0.01], ATTACKS, seeds=5, thumbnails=False)
    text = grid_page(page_of(rows))
    assert "ransplant" not in text
    assert "not from the weights" not in text + board.page([page_of(rows)], None)


def test_the_flag_outlives_a_rendering_that_recalls_the_grid(tmp_path):
    rows, images = fake.grid("decay", "weight_decay", [0.0, 0.01], ATTACKS, seeds=5)
    publish(with_transplants(rows, CHEAT), images, tmp_path)
    render(tmp_path)
    first = (tmp_path / "leaderboard.md").read_text()
    assert "**not from the weights**" in first
    (tmp_path / "leaderboard.md").unlink()
    render(tmp_path)
    assert (tmp_path / "leaderboard.md").read_text().count("**not from the weights**") == first.count("**not from the weights**")


@pytest.mark.parametrize("track", ["reconstruction", "membership"])
def test_tracks_with_transplants_have_a_test_for_their_headline(track):
    one = headline(track)
    assert one.ranked or (one.share and one.less)
