"""Cheats are flagged by their transplants, on the page and on the board; honest attacks are not.

The grid is embedded images and two networks, of which one meets the other's: a single transplant has to do.
"""

from __future__ import annotations

import re

import pytest
from cheats import write

from bench import registry
from bench.cli import main
from bench.store import load_results

CHEATS = ("redraw", "heap", "pool")  # the fourth would replace the scorer of the tests' own process
HONEST, CONTROLS = ("span_ica_change", "haim_kkt"), ("first_layer_weights", "mean_image", "heldout_images")
GRID = """
name: cheats
title: Cheats
question: Who reads the weights?
base: {{dataset: photo_tiles, n_per_class: 10, hidden: [100], epochs: 1500, weight_decay: 0.003}}
seeds: 2
attacks: [{cheats}, span_ica_change, first_layer_weights, {{name: haim_kkt, params: {{steps: 300}}}}, mean_image, heldout_images]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of results of a run with all of them, and its score rows."""
    folder = tmp_path_factory.mktemp("cheats")
    grid, out = folder / "cheats.yaml", folder / "results"
    grid.write_text(GRID.format(cheats=", ".join(CHEATS)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_plugins", {})
        patch.setenv("RECONBENCH_HOME", str(folder / "home"))
        plugins = [part for name in CHEATS for part in ("--plugin", str(write(folder, name)))]
        assert main(["run", "--grid", str(grid), *plugins, "--out", str(out), "--json"]) == 0
        yield out, load_results(out)[0]


def flagged(text: str) -> set[str]:
    return set(re.findall(r"(\w+)(?:\]\(cheats\.md\)| \() ?\*\*not from the weights\*\*", text))


def test_every_cheat_is_flagged_and_no_honest_attack(made):
    out, rows = made
    caught = {name for name in CHEATS if rows[rows["attack"] == name]["excess_recall"].mean() > 0.3}
    assert {"redraw", "pool"} <= caught, "else this tests nothing; a heap without the secret gives nothing"
    assert flagged((out / "cheats.md").read_text()) == caught
    assert flagged((out / "leaderboard.md").read_text()) == caught


def test_cheats_lead_nothing(made):
    out, _ = made
    page, board = (out / "cheats.md").read_text(), (out / "leaderboard.md").read_text()
    opening, _, rest = page.partition("## Results")
    best = re.search(r"^- (\w+)(?: at [^:]*)?: excess recall", opening, re.M)
    assert best[1] in HONEST
    assert "Not counted: " in opening
    assert re.search(r"\| all \| (\w+) \|", opening)[1] in HONEST
    assert all(f"the furthest **{name}" not in board for name in CHEATS)
    names = re.findall(r"^\| \[(\w+)\]\(cheats\.md\)", board, re.M)
    assert set(names) == {*CHEATS, *HONEST}
    assert set(names[: len(HONEST)]) == set(HONEST), "the others come after them"
    ranking = rest.partition("### Ranking")[2].partition("###")[0]
    for name in ("redraw", "pool"):
        assert re.search(rf"^\| — \| {name} \(\*\*not from the weights", ranking, re.M), "it has no rank"


def test_honest_attacks_find_something_and_nothing_in_others_networks(made):
    _, rows = made
    met = rows[rows["transplant"].notna()].set_index("attack")
    assert len(met) == len(CHEATS) + len(HONEST) + len(CONTROLS)
    assert met.loc["span_ica_change", "excess_recall"] > 0.3
    assert met.loc["span_ica_change", "transplant"] < 0.2
    for name in ("redraw", "pool"):
        assert met.loc[name, "transplant"] == pytest.approx(met.loc[name, "excess_recall"]), "it does not change"
