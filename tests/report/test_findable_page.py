"""The section on what could be found at all: its numbers by hand, and that older rows have no such section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake

from bench import report, store
from bench.report.aggregate import aggregate
from bench.report.kit.page import Page
from bench.store import to_table
from bench.tracks.reconstruction.page.ceiling import Ceiling
from bench.tracks.reconstruction.page.findable import Findable

Rows = list[dict[str, Any]]


def made(**more: Any) -> tuple[Rows, Rows]:
    """Two cells of 8 members and 8 controls; of the members 0 … 4 lie inside, and 0, 1, 2 and 6 are found."""
    rows, images = fake.grid("quick", "dataset", ["lfw_faces"], {"haim_kkt": [0.5], "mean_image": [0.1]}, seeds=2, n_per_class=4)
    for row in rows:
        row |= {"span_rank": 5 + row["seed"], "span_reason": "", "shared_patterns": 2 * row["seed"], "unit_patterns": 7, **more}
    for image in images:
        member = image["split"] == "member"
        image["ssim"] = (0.8 - 0.01 * image["index"] if image["index"] in (0, 1, 2, 6) else 0.2) if member else 0.1
        image["span_share"] = (0.95 if image["index"] < 5 else 0.45) if member else 0.25
    return rows, images


def page(rows: Rows, images: Rows, folder: Path) -> str:
    store.publish(rows, images, folder)
    scores, frame = store.load_results(folder)
    return "\n".join(Findable().lines(Page("quick", "quick", "", "", scores, aggregate(scores), images=frame)))


def test_the_numbers_by_hand(tmp_path: Path) -> None:
    text = page(*made(), tmp_path)
    assert "### What could be found at all" in text
    [line] = [line for line in text.splitlines() if "5.5 / 8" in line]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:6] == ["haim_kkt", "0.76 : 0.25", "10 / 16", "6 / 10", "2 / 6"]
    assert cells[7:] == ["5.5 / 8", "1", "7", "2"]
    assert "No share inside" not in text


def test_the_oracle_has_a_line_of_its_own_marked_as_no_attack(tmp_path: Path) -> None:
    rows, images = made()
    assert "oracle that is told" not in page(rows, images, tmp_path / "none")
    for row in rows:
        row |= {"pattern_oracle_members": (0.5, 0.75)[row["seed"]], "pattern_oracle_controls": 0.125}
    text = page(rows, images, tmp_path / "told")
    assert "**No attack:** an oracle" in text
    assert "- lfw_faces: 10 / 16 members, 2 / 16 controls." in text


def test_the_ceiling_stands_beside_each_setting(tmp_path: Path) -> None:
    """Of rows of protocol v1, which tell how many look-alikes passed with the members themselves, and of later ones, which tell it."""
    rows, _ = fake.grid("quick", "dataset", ["lfw_faces", "photo_tiles"], {"haim_kkt": [0.5, 0.5], "mean_image": [0.1, 0.1]}, seeds=2)

    def lines(rows: list[dict[str, Any]]) -> list[str]:
        scores = to_table(rows, "scores").to_pandas()
        return Ceiling().lines(Page("quick", "quick", "Quick", "", scores, aggregate(scores)))

    assert lines(rows) == []
    for row in rows:
        row |= {"protocol": "v1", "exact_controls": (0.25, 0.5)[row["seed"]] if row["dataset"] == "lfw_faces" else 0.125}
    start = "**Ceiling**, the excess recall of the members themselves: "
    assert lines(rows) == [f"{start}lfw_faces +0.62; photo_tiles +0.88.", ""]
    for row in rows:
        row |= {"protocol": "v2", "exact_controls": None, "ceiling": 1.0}
    assert lines(rows) == [f"{start}+1.00 at every setting.", ""]
    assert lines([row for row in rows if row["dataset"] == "lfw_faces"]) == [f"{start}+1.00.", ""]


def test_a_reason_stands_where_numbers_are_missing(tmp_path: Path) -> None:
    rows, images = made(span_rank=None, span_reason="the first layer of a cnn is not fully connected", shared_patterns=None)
    for image in images:
        image["span_share"] = None
    text = page(rows, images, tmp_path)
    assert "No share inside at lfw_faces: the first layer of a cnn is not fully connected." in text
    assert "| lfw_faces | haim_kkt | — : — | — | — | — | — | — | — | 7 | 2 |" in text
    assert "nan" not in text


def test_older_rows_have_no_such_section(tmp_path: Path) -> None:
    rows, images = made()
    older = [
        {name: value for name, value in row.items() if not name.startswith(("span_", "shared_", "unit_", "pattern_", "exact_"))}
        for row in rows
    ]
    assert not page(older, [{**image, "span_share": None} for image in images], tmp_path)


def test_the_page_of_a_grid_has_both_sections(tmp_path: Path) -> None:
    rows, images = made(cross_recall=0.25, n_cross=8)
    store.publish(rows, images, tmp_path)
    report.render(tmp_path)
    text = (tmp_path / "quick.md").read_text()
    assert 0 < text.index("### The same answers against another draw") < text.index("### What could be found at all")
