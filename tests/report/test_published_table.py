"""A paper's figures beside ours: the right cells, the right mean, the controls, and both scales."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fake
import pytest

from bench import report, store
from bench.report.aggregate import aggregate
from bench.report.sections import published

Rows = list[dict[str, Any]]
RECALL = {
    "what": "members above 0.4",
    "column": "recall_members",
    "value": 0.26,
    "at": "500 images",
    "source": "A paper, Fig. 3",
    "axis": {},
}
ACCURACY = {**RECALL, "what": "test accuracy", "column": "test_accuracy", "value": 0.88, "source": "A paper, Table 1"}


def made(figures: Any) -> tuple[Rows, Rows]:
    rates: dict[str, list[float | None]] = {"haim_kkt": [0.5, 0.5], "regression_kkt": [0.4, 0.4], "mean_image": [0.05, 0.05]}
    rows, images = fake.grid("weight_decay", "weight_decay", [0.0, 0.001], rates, seeds=3)
    for row in rows:
        row["grid_published"] = figures if figures is None or isinstance(figures, str) else json.dumps(figures)
        if row["attack"] == "haim_kkt":
            share = [0.2, 0.3, 0.4][row["seed"]] + 0.1 * row["axis_index"]
            row |= {"recall_members": share, "recall_controls": 0.05, "excess_recall": share - 0.05}
    return rows, images


def table_of(rows: Rows, images: Rows, folder: Path) -> list[list[str]]:
    store.publish(rows, images, folder)
    scores, _ = store.load_results(folder)
    lines = published.section(scores, aggregate(scores))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")][1:]


def test_ours_is_the_mean_over_seeds_of_each_attack_line_with_its_controls(tmp_path: Path) -> None:
    rows = table_of(*made([{**RECALL, "axis": {"weight_decay": "0.001"}}]), tmp_path)
    assert sorted(row[4] for row in rows) == ["haim_kkt", "regression_kkt"]
    what, paper, at, setting, _, ours, controls, scale, source = next(row for row in rows if row[4] == "haim_kkt")
    assert (what, paper, at, source) == ("members above 0.4", "**0.26**", "500 images", "A paper, Fig. 3")
    assert setting == "weight_decay 0.001"
    assert ours == "0.4 [0.152, 0.648]"  # 0.3, 0.4, 0.5: a half-width of 4.3027 · 0.1 / √3
    assert controls == "0.05 [0.05, 0.05]"
    assert scale == "20 training images, mlp hidden 500, 3 seeds"


def test_a_copy_of_a_data_set_is_found_by_its_short_name(tmp_path: Path) -> None:
    rows, images = made([{**ACCURACY, "axis": {"dataset": "mnist"}}])
    for row in rows:
        row |= {"axis": json.dumps({"dataset": "mnist"}), "dataset": "mnist", "dataset_display": "mnist (local copy)", "weight_decay": 0.0}
    [only, *_] = table_of(rows, images, tmp_path)
    assert only[3] == "dataset mnist (local copy)"
    assert only[5].startswith("0.8")


def test_a_figure_of_the_whole_grid_stands_beside_every_setting(tmp_path: Path) -> None:
    rows = table_of(*made([RECALL]), tmp_path)
    assert [(row[3], row[4]) for row in rows if row[4] == "haim_kkt"] == [
        ("weight_decay 0.0", "haim_kkt"),
        ("weight_decay 0.001", "haim_kkt"),
    ]
    assert not [row for row in rows if "mean_image" in row[4]]


def test_a_fact_of_the_target_stands_once_for_all_its_attacks(tmp_path: Path) -> None:
    rows = table_of(*made([{**ACCURACY, "axis": {"weight_decay": "0.0"}}]), tmp_path)
    assert [row[4] for row in rows] == ["—"], "it is no matter of the attack"
    assert rows[0][5:7] == ["0.8 [0.8, 0.8]", "—"]


def test_a_figure_without_cells_says_so(tmp_path: Path) -> None:
    rows = table_of(
        *made([{**RECALL, "axis": {"weight_decay": "7"}}, {**RECALL, "column": "no_such"}, {**RECALL, "column": "attack"}]), tmp_path
    )
    assert [row[5:8] for row in rows] == [["—", "—", "no cell of ours has it"]] * 3
    assert rows[0][3] == "weight_decay 7"


def test_cells_without_scores_and_null_columns_are_left_out(tmp_path: Path) -> None:
    rows, images = made([{**RECALL, "axis": {"weight_decay": "0.0"}}])
    for row in rows:
        if row["attack"] == "haim_kkt" and row["seed"] == 2:
            row |= {"status": "failed", "reason": "it fell"}
        if row["attack"] == "regression_kkt":
            row["recall_members"] = None
    lines = table_of(rows, images, tmp_path)
    assert [(row[4], row[5].split(" ")[0], row[7]) for row in lines] == [
        ("haim_kkt", "0.25", "20 training images, mlp hidden 500, 2 seeds"),
    ]


@pytest.mark.parametrize("text", ["no json", "3", "[1]", '[{"what": "x"}]', "[]", "null"])
def test_texts_that_are_no_figures_leave_the_page_as_it_was(tmp_path: Path, text: str) -> None:
    rows, images = made(None)
    assert table_of(rows, images, tmp_path) == []
    report.render(tmp_path)
    plain = (tmp_path / "weight_decay.md").read_text()
    assert "The paper beside ours" not in plain
    store.publish(*made(text), tmp_path)
    report.render(tmp_path)
    assert (tmp_path / "weight_decay.md").read_text() == plain


def test_text_of_a_grid_file_breaks_no_table(tmp_path: Path) -> None:
    rows = table_of(*made([{**RECALL, "what": "a | b <b>x</b>", "at": "`1`\nx", "axis": {"weight_decay": "0.0"}}]), tmp_path)
    assert all(len(row) == 9 for row in rows)
    assert rows[0][0] == "a \\| b &lt;b&gt;x&lt;/b&gt;"


def test_the_table_is_on_the_page_of_its_grid(tmp_path: Path) -> None:
    store.publish(*made([RECALL]), tmp_path)
    report.render(tmp_path)
    page = (tmp_path / "weight_decay.md").read_text()
    assert page.count("## The paper beside ours") == 1
    report.render(tmp_path)
    assert (tmp_path / "weight_decay.md").read_text() == page
