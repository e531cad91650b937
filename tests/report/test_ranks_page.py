"""The section on ranks among look-alikes: medians and counts beside the controls', and what membership alone would tell."""

from __future__ import annotations

from typing import Any

import fake

from bench.report.aggregate import aggregate
from bench.report.kit.page import Page
from bench.store import to_table
from bench.tracks.reconstruction.page import SECTIONS
from bench.tracks.reconstruction.page.ranks import Ranks


def made() -> list[dict[str, Any]]:
    rows, _ = fake.grid("quick", "dataset", ["lfw_faces", "photo_tiles"], {"haim_kkt": [0.5, 0.5], "mean_image": [0.1, 0.1]}, seeds=2)
    for row in rows:
        attack = row["role"] == "attack"
        row |= {
            "rank_median": (1.5 if attack else 40.0) + row["seed"], "rank_median_controls": 41.0, "n_lookalikes": 80, "margin_auc": 0.75,
            "rank_first": 0.25 * (1 + row["seed"]) if attack else 0.0, "rank_first_controls": 0.05,
        }  # fmt: skip
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    scores = to_table(rows, "scores").to_pandas()
    return "\n".join(Ranks().lines(Page("quick", "quick", "Quick", "", scores, aggregate(scores))))


def test_the_numbers_by_hand() -> None:
    text = page(made())
    assert any(isinstance(section, Ranks) for section in SECTIONS)
    assert "### Which of its look-alikes?" in text
    n = made()[0]["n_members"]
    assert f"| lfw_faces | haim_kkt | 2 : 41 | {3 * n // 4} / {2 * n} | {n // 10} / {2 * n} | 80 | 0.75 |" in text
    assert f"| photo_tiles | *mean_image* (control) | 40.5 : 41 | 0 / {2 * n} | {n // 10} / {2 * n} | 80 | 0.75 |" in text
    assert text.count("\n| ") == 5, "a head and four lines"
    assert max(map(len, text.splitlines())) <= 160


def test_rows_that_do_not_tell_have_a_dash_and_pages_of_such_rows_alone_no_section() -> None:
    rows = made()
    for row in rows:
        if row["role"] == "control":
            row |= {"rank_median": None, "n_lookalikes": None}
        row["margin_auc"] = None
    text = page(rows)
    assert "mean_image" not in text
    assert "| 80 | — |" in text
    assert "nan" not in text
    older = [{k: v for k, v in row.items() if not k.startswith("rank_") and k not in ("n_lookalikes", "margin_auc")} for row in rows]
    assert not page(older)


def test_a_line_of_which_one_seed_was_scored_before_ranks_were_waits_for_it() -> None:
    """Means of other seeds would be set beside counts of all."""
    rows = made()
    for row in rows:
        if row["seed"] == 1 and row["dataset"] == "lfw_faces":
            row |= dict.fromkeys(("rank_median", "rank_median_controls", "rank_first", "rank_first_controls", "n_lookalikes"))
    text = page(rows)
    assert "lfw_faces" not in text
    assert "photo_tiles" in text
