"""The line of the cross-check: its means by hand, and that older rows have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake

from bench import store
from bench.report.aggregate import aggregate
from bench.report.kit.page import Page
from bench.tracks.reconstruction.page.crosscheck import CrossCheck

Rows = list[dict[str, Any]]


def page(rows: Rows, images: Rows, folder: Path) -> str:
    store.publish(rows, images, folder)
    scores, frame = store.load_results(folder)
    return "\n".join(CrossCheck().lines(Page("quick", "quick", "", "", scores, aggregate(scores), images=frame)))


def made() -> tuple[Rows, Rows]:
    """Two attacks on two seeds; next seed − controls: +0.1 and +0.2 on seed 0, −0.1 and 0 on seed 1."""
    rows, images = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5], "mean_image": [0.1]}, seeds=2, n_per_class=4)
    for row in rows:
        first, seed = row["attack"] == "haim_kkt", row["seed"]
        row |= {"recall_members": 0.5, "recall_controls": 0.25, "excess_recall": 0.25, "n_cross": 8}
        row["cross_recall"] = 0.25 + ((0.1, -0.1)[seed] if first else (0.2, 0.0)[seed])
    return rows, images


def test_the_means_by_hand(tmp_path: Path) -> None:
    text = page(*made(), tmp_path)
    assert "### The same answers against another draw" in text
    assert "30.0 % of them are above 0.4" in text
    assert "answers that match\n50.0 % of the members and 25.0 % of the controls, over 4 cells" in text
    assert "mean over seeds: +0.050 [−1.000, +1.000]." in text  # seeds: +0.15 and −0.05; two of them tell next to nothing


def test_starts_that_come_back_have_a_line(tmp_path: Path) -> None:
    rows, images = made()
    assert "began as" not in page(rows, images, tmp_path / "none")
    for row in rows:
        row["start_recall"] = (0.5, 0.75)[row["seed"]] if row["attack"] == "mean_image" else None
    text = page(rows, images, tmp_path / "told")
    assert "- mean\\_image: 62.5 % of the answers" in text or "- mean_image: 62.5 % of the answers" in text
    assert text.count("began as") == 1


def test_older_rows_have_no_such_line(tmp_path: Path) -> None:
    rows, images = made()
    for row in rows:
        del row["cross_recall"], row["n_cross"]
    assert not page(rows, images, tmp_path)
