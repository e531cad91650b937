"""Sweeps run by run: which run each way of choosing takes, and how its members and controls are counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fake
import pytest

from bench import report, store
from bench.api import OWN_LOSS
from bench.report.aggregate import aggregate
from bench.tracks.reconstruction.page import sweeps

Rows = list[dict[str, Any]]
#        loss, members, controls
FIRST = [(0.4, 3, 1), (0.1, 5, 0), (None, 0, 2), (0.2, 9, 4)]
SECOND = [(0.3, 1, 0), (0.3, 7, 2), (0.5, 0, 0)]


def told(runs: list[tuple[float | None, int, int]], unexplained: bool = False) -> list[dict[str, Any]]:
    return [
        {
            "run": k, "params": {"lr": 0.1}, "loss": None if loss is None else 20 * loss if unexplained else loss,
            "unexplained": loss if unexplained else None, "members": members, "controls": controls, "submitted": 40,
        }
        for k, (loss, members, controls) in enumerate(runs)
    ]  # fmt: skip


def made(first: Any, second: Any) -> tuple[Rows, Rows]:
    rows, images = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5], "mean_image": [0.05]}, seeds=2)
    for row in rows:
        if row["attack"] == "haim_kkt":
            row["sweep_runs"] = first if row["seed"] == 0 else second
            row["sweep"] = '{"runs": 4, "ranges": {}}'
    return rows, images


def section_of(rows: Rows, images: Rows, folder: Path) -> str:
    store.publish(rows, images, folder)
    scores, _ = store.load_results(folder)
    return "\n".join(sweeps.section(aggregate(scores), scores))


def test_each_way_of_choosing_by_hand() -> None:
    first, second = (sweeps.parse(json.dumps(told(runs)), 20, 20, "haim_kkt") for runs in (FIRST, SECOND))
    assert first is not None
    assert second is not None
    assert (first.best.run, second.best.run) == (1, 0)  # of equal objectives the first
    assert (first.oracle.run, second.oracle.run) == (3, 1)
    assert (first.diverged, second.diverged) == (1, 0)
    assert sweeps.totals([first, second], lambda s: s.best) == (6, 0)
    assert sweeps.totals([first, second], lambda s: s.oracle) == (16, 6)
    assert first.rho == pytest.approx(-0.5)  # objectives 0.4 0.1 0.2, members 3 5 9
    assert (first.objective, first.declared) == (OWN_LOSS, False)


def test_the_unexplained_share_goes_before_the_loss() -> None:
    items = told(FIRST, unexplained=True)
    items[0]["loss"] = 1e-9  # of another scale: a run is chosen by what the attack itself ranks by
    found = sweeps.parse(json.dumps(items), 20, 20, "haim_kkt")
    assert found is not None
    assert found.objective == sweeps.UNEXPLAINED
    assert found.best.run == 1
    assert found.diverged == 1


def test_the_page_says_members_beside_controls_for_every_choice(tmp_path: Path) -> None:
    text = section_of(*made(told(FIRST), told(SECOND)), tmp_path)
    row = next(line for line in text.splitlines() if line.startswith("|") and "haim_kkt" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2] == "3 to 4"
    assert cells[5:8] == ["6 / 40 : 0 / 40", "5 / 40 : 1.5 / 40", "16 / 40 : 6 / 40"]  # medians 4 and 1, 1.5 and 0
    assert cells[9] == "14 %"
    assert "brings +5.0 members and +3.0 controls a network" in text
    assert "mean_image" not in text


def test_runs_without_objectives_cannot_be_chosen_by_them(tmp_path: Path) -> None:
    silent = [(None, 4, 1), (None, 6, 0)]
    text = section_of(*made(told(silent), told(silent)), tmp_path)
    assert "report no objective" in text
    row = next(line for line in text.splitlines() if line.startswith("|") and "haim_kkt" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert (cells[5], cells[9], cells[10]) == ("—", "—", "—")
    assert cells[7] == "12 / 40 : 0 / 40"
    scores, _ = store.load_results(tmp_path)
    assert sweeps.figure(aggregate(scores), scores, "title") is None


def going_by(name: str, better: str, runs: list[tuple[float | None, int, int]]) -> list[dict[str, Any]]:
    """The runs of an attack that says what its objective is, with a loss that says the opposite."""
    return [
        {**run, "loss": value and -value, "objective": {"name": name, "better": better, "value": value}}
        for run, (value, _, _) in zip(told(runs), runs, strict=True)
    ]


@pytest.mark.parametrize(
    ("better", "run", "word", "sign"),
    [("higher", 3, "highest", "positive where a higher"), ("lower", 1, "lowest", "negative where a lower")],
)
def test_a_run_is_picked_by_what_the_row_says_of_its_objective(better: str, run: int, word: str, sign: str, tmp_path: Path) -> None:
    runs = [(0.3, 3, 1), (0.1, 5, 0), (None, 0, 2), (0.9, 4, 4)]
    found = sweeps.parse(json.dumps(going_by("log-likelihood", better, runs)), 20, 20, "haim_kkt")
    assert found is not None
    assert found.best is not None
    assert (found.best.run, found.diverged, found.declared) == (run, 1, True)
    text = section_of(*made(going_by("log-likelihood", better, runs), going_by("log-likelihood", better, runs)), tmp_path)
    assert f"- The objective of haim_kkt: log-likelihood; {better} is better." in text
    assert f"run of the {word} objective" in text
    assert f"| run of {word} objective |" in text
    assert sign in text
    assert "weights" not in text


def test_a_page_of_attacks_that_differ_in_which_side_is_better_says_best(tmp_path: Path) -> None:
    rows, images = made(told(FIRST, unexplained=True), told(SECOND, unexplained=True))
    for row in rows:
        if row["attack"] == "mean_image":
            row |= {"sweep_runs": going_by("a | name\n<b>", "higher", FIRST), "sweep": '{"runs": 4, "ranges": {}}'}
    text = section_of(rows, images, tmp_path)
    assert "| run of best objective |" in text
    assert "lowest" not in text
    assert r"a \| name &lt;b&gt;; higher is better" in text
    assert "of haim_kkt:" not in text, "an old row says nothing of what its objective is"


def test_an_old_row_says_what_its_numbers_mean_by_its_attack(tmp_path: Path) -> None:
    """Before attacks said what they go by, every attack's confidence was kept as if it were a KKT attack's."""
    text = json.dumps(told(FIRST, unexplained=True))
    kkt, plug_in = (sweeps.parse(text, 20, 20, name) for name in ("haim_kkt", "row_ica"))
    assert kkt is not None
    assert plug_in is not None
    assert (kkt.objective.name, kkt.objective.better) == ("share of the weights left unexplained", "lower")
    assert (plug_in.objective.name, plug_in.objective.better) == ("confidence", "higher")
    assert kkt.best is not None
    assert plug_in.best is not None
    assert (kkt.best.run, kkt.best.objective) == (plug_in.best.run, 0.1) == (1, -plug_in.best.objective)
    scores = going_by("log-likelihood", "higher", FIRST)
    scores[1]["objective"] = {"name": "loss", "better": "lower", "value": 1.0}
    assert sweeps.parse(json.dumps(scores), 20, 20, "haim_kkt") is None, "runs of one sweep with two objectives"


def test_the_picture_takes_its_words_from_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.publish(*made(going_by("log-likelihood", "higher", FIRST), told(SECOND)), tmp_path)
    scores, _ = store.load_results(tmp_path)
    drawn: list[Any] = []
    monkeypatch.setattr(sweeps, "as_png", lambda figure: drawn.append(figure) or b"")
    assert sweeps.figure(aggregate(scores), scores, "title") == b""
    axis = drawn[0].axes[0]
    assert axis.get_xlabel() == "log-likelihood, own loss"
    assert axis.get_legend_handles_labels()[1] == ["controls", "members", "best objective"]


@pytest.mark.parametrize(
    "text", ["", "[]", "no json", "3", "{}", '[{"run": 0}]', "[1]", '[{"run": 0, "members": null, "controls": 1}]', None]
)
def test_what_is_no_list_of_runs_is_left_out(text: str | None) -> None:
    assert sweeps.parse(text, 20, 20, "haim_kkt") is None


def test_objectives_that_are_not_finite_are_divergence() -> None:
    runs = '[{"run": 0, "loss": NaN, "members": 1, "controls": 0}, {"run": 1, "loss": 2, "members": 0, "controls": 0}]'
    found = sweeps.parse(runs, 4, 4, "haim_kkt")
    assert found is not None
    assert (found.diverged, found.best.run) == (1, 1)


def test_rows_without_runs_get_no_section_and_rendering_twice_gives_no_diff(tmp_path: Path) -> None:
    rows, images = made(None, None)
    assert section_of(rows, images, tmp_path) == ""
    report.render(tmp_path)
    assert not list((tmp_path / "figures").glob("*_runs.png"))
    rows, images = made(told(FIRST), told(SECOND))
    store.publish(rows, images, tmp_path)
    report.render(tmp_path)
    picture, page = tmp_path / "figures" / "quick_runs.png", tmp_path / "quick.md"
    assert page.read_text().count("](figures/quick_runs.png)") == 1
    before = picture.read_bytes(), page.read_bytes()
    report.render(tmp_path)
    assert (picture.read_bytes(), page.read_bytes()) == before
    store.publish(*made(None, None), tmp_path)
    report.render(tmp_path)
    assert not picture.exists()


def test_a_network_of_which_every_run_diverged_counts_as_diverged(tmp_path: Path) -> None:
    text = section_of(*made(told([(0.4, 3, 1), (0.1, 5, 0)]), told([(None, 0, 0), (None, 1, 0)])), tmp_path)
    assert "in 1 of 2 networks every run diverged" in text
    assert "report no objective" not in text
    assert "| 50 % |" in text
