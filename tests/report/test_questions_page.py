"""The section on how many questions give the training set away: counts by hand, and no section without two numbers of questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake

from bench import store
from bench.report.aggregate import aggregate
from bench.report.kit.page import Page
from bench.tracks.reconstruction.page.questions import Questions


def page(used: dict[str, Any], folder: Path) -> list[str]:
    rows, images = fake.grid("quick", "dataset", ["photo_tiles"], {name: [1.0] for name in used}, seeds=2, n_per_class=4)
    for row in rows:
        row["queries_used"] = used[row["attack"]]
    store.publish(rows, images, folder)
    scores, frame = store.load_results(folder)
    return Questions().lines(Page("quick", "quick", "", "", scores, aggregate(scores), images=frame))


def test_the_fewest_questions_come_first_and_who_asked_none_is_left_out(tmp_path: Path) -> None:
    lines = page({"explained": 100, "explained_by_outputs": 20, "span_ica": None}, tmp_path)
    assert lines[0] == "### How many questions give the training set away?"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "explained" in line]
    assert [(row[1], row[2], row[3], row[-1]) for row in rows] == [
        ("explained_by_outputs", "20", "16 / 16", "2"), ("explained", "100", "16 / 16", "2"),
    ]  # fmt: skip
    assert not any("span_ica" in line for line in lines)


def test_one_number_of_questions_is_no_comparison(tmp_path: Path) -> None:
    assert page({"explained": 100, "span_ica": None}, tmp_path) == []
