"""The test of the house: a fourth track is one file and no other edit, and so is a section of a page. From a plug-in, by the commands."""

from __future__ import annotations

import pandas as pd
import pytest
import toy
from tiny_grid import clean_registry  # noqa: F401

from bench import registry, tracks
from bench.check import check_plugin
from bench.cli import main
from bench.report import render
from bench.report.aggregate import aggregate
from bench.report.compare import compare, summary_table
from bench.store import load_results, publish

pytestmark = pytest.mark.usefixtures("clean_registry")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The plug-in, its grid, and the folder of the published results of a run."""
    folder = tmp_path_factory.mktemp("toy")
    plugin, grid = toy.write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_plugins", {})
        patch.setenv("RECONBENCH_HOME", str(folder / "home"))
        out = folder / "results"
        assert main(["run", "--grid", str(grid), "--plugin", str(plugin), "--out", str(out), "--json"]) == 0
    return plugin, grid, out


@pytest.fixture
def loaded(made):
    plugin, _, out = made
    registry.load_plugin(plugin)
    return out


def test_all_that_it_brings_passes_its_contract(made):
    found = dict(check_plugin(str(made[0])))
    assert {title.split()[0] for title in found} == {"track", "section", "metric", "attack"}
    assert len(found) == 5
    wrong = [(title, outcome) for title, outcomes in found.items() for outcome in outcomes if not outcome.ok]
    assert not wrong
    assert "toy" in tracks.names()


def test_its_cells_run_and_its_rows_are_published_with_the_scores_of_the_controls(loaded):
    scores, images = load_results(loaded)
    mine = scores[scores["track"] == "toy"]
    assert len(mine) == 8
    assert set(mine["status"]) == {"ok"}
    pd.testing.assert_series_equal(mine["toy_advantage"], mine["toy_tpr"] - mine["toy_fpr"], check_names=False, atol=1e-5)
    for side, column in (("member", "toy_tpr"), ("control", "toy_fpr")):
        own = images[images["cell_id"].isin(mine["cell_id"]) & (images["split"] == side)]
        assert own[["toy_called", "toy_far"]].notna().all().all()
        called = own.groupby("cell_id")["toy_called"].mean()
        assert called.reindex(mine["cell_id"]).tolist() == pytest.approx(mine[column].tolist(), abs=1e-5)
    assert mine["toy_far_median_controls"].between(0, 1).all()


def test_its_lines_are_ranked_by_its_headline(loaded):
    scores, images = load_results(loaded)
    groups = [group for group in aggregate(scores, images) if group.track == "toy"]
    assert len(groups) == 4
    for group in groups:
        seeds = scores[scores["cell_id"].isin(group.cell_ids.values())]
        assert group.excess.estimate == pytest.approx(seeds["toy_advantage"].mean(), abs=1e-5)
        assert group.excess.low <= group.excess.estimate <= group.excess.high
        assert group.hits["members"] == (round((seeds["toy_tpr"] * seeds["n_members"]).sum()), seeds["n_members"].sum())
        assert group.members.estimate == pytest.approx(seeds["toy_tpr"].mean(), abs=1e-5)
    firsts = {group.label: group for group in reversed(groups)}
    assert all(firsts[group.label].excess.estimate >= group.excess.estimate for group in groups)
    lines = [line for line in summary_table(scores, images) if line["attack"].startswith("toy")]
    assert all(line["advantage [95 % CI]"].startswith(("+", "-")) and "/16" in line["members called"] for line in lines)


def test_its_page_has_its_headline_its_sections_and_their_pictures(loaded):
    page, board = ((loaded / name).read_text(encoding="utf-8") for name in ("toys.md", "leaderboard.md"))
    for words in (
        "| advantage [95 % CI] | minus strongest control [95 %] | members called | controls called |",
        "![Advantage, Toys](figures/toys_advantage.png)",
        "![note](figures/toys_toy_note.png)",
        "## Note",
        "There are 6 lines.",
        "Differences of advantage against",
    ):
        assert words in page, words
    assert page.count("### How far are members?") == page.count("## Note") == 1, "not on the part of the other track"
    part = page.partition("## track toy")[2].partition("\n## ")[0]
    assert "SSIM" not in part
    assert "| advantage | strongest control |" in board
    for name in ("advantage", "toy_note", "excess"):
        assert (loaded / "figures" / f"toys_{name}.png").stat().st_size > 500


def test_rendering_again_changes_nothing_and_its_picture_goes_with_its_rows(loaded, tmp_path):
    before = {path.name: path.read_bytes() for path in loaded.rglob("*") if path.is_file()}
    render(loaded)
    assert {path.name: path.read_bytes() for path in loaded.rglob("*") if path.is_file()} == before
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "gone_advantage.png").write_bytes(b"of a grid that is gone")
    (tmp_path / "figures" / "gone_other.png").write_bytes(b"of nobody here")
    render(tmp_path)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["gone_other.png"]


def test_its_headline_is_what_fresh_rows_are_compared_by(loaded):
    scores, _ = load_results(loaded)
    mine = scores[scores["track"] == "toy"]
    assert compare(mine, mine).agreeing == len(mine)
    other = compare(mine.assign(toy_advantage=mine["toy_advantage_hi"] + 0.1), mine)
    assert {found.column for found in other.disagreements} == {"toy_advantage"}
    assert len(other.disagreements) == len(mine)


def test_kept_answers_are_scored_again(loaded, made, monkeypatch):
    plugin, _, out = made
    monkeypatch.setenv("RECONBENCH_HOME", str(out.parent / "home"))
    fresh = load_results(out)[0].set_index("cell_id")
    wrong = fresh.reset_index().assign(toy_advantage=lambda rows: rows["toy_advantage"].where(rows["track"] != "toy", 0.987))
    publish(wrong.to_dict("records"), [], out)
    assert set(load_results(out)[0]["toy_advantage"].dropna()) == {0.987}
    assert main(["score", "--grid", "toys", "--plugin", str(plugin), "--out", str(out)]) == 0
    again = load_results(out)[0].set_index("cell_id").reindex(fresh.index)
    pd.testing.assert_series_equal(again["toy_advantage"], fresh["toy_advantage"])


def test_without_the_plugin_its_rows_still_load_and_render(made, tmp_path):
    scores, images = load_results(made[2])
    assert "toy_advantage" not in scores
    group = next(group for group in aggregate(scores, images) if group.attack == "toy_mean")
    assert group.excess is None
    assert group.counts == {"ok": 2}
