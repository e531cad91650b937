"""Planted and ordinary images: recalls, differences paired by seed, multipliers and words from rows whose values are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake
import numpy as np
import pandas as pd
import pytest

from bench import report, store
from bench.api import Setting
from bench.report.aggregate import aggregate
from bench.report.kit.groups import Group
from bench.tracks.reconstruction.page import planted

Rows = list[dict[str, Any]]
MARK = {"kind": "noise", "count": 4}


def made(seeds: int = 3, attacks: tuple[str, ...] = ("haim_kkt", "mean_image"), flags: bool = True) -> tuple[Rows, Rows]:
    """Cells of 8 members and 8 controls, without a watermark and with one.

    Without, the first 4 members of seed 0 come back, and 5 of the other seeds. With, all 4 planted ones (the last), the first ordinary one
    of seed 0, the first 2 of the others; and one unplanted control of every seed.
    """
    rows: Rows = []
    images: Rows = []
    for index, label in enumerate(("none", "noise")):
        for seed in range(seeds):
            more = {"defense": "memorized_examples", "defense_params": MARK} if index else {}
            setting = Setting(n_per_class=4, seed=seed, **more)
            for attack in attacks:
                row, found = fake.cell("watermark", attack, setting, {"watermark": label}, index, (0.5, 0.1))
                back = {
                    "member": {4, 5, 6, 7, *range(1 + (seed > 0))} if index else set(range(4 + (seed > 0))),
                    "control": {7} if index else set(),
                }
                for image in found:
                    member, i = image["split"] == "member", image["index"]
                    image["ssim"] = 0.8 if i in back[image["split"]] else 0.2
                    image["planted"] = int(i > 3) if index and flags else None
                    image["margin"] = 1.0 + i
                    image["multiplier"] = (0.5 if i > 3 else 0.1) if member else None
                for side, split in (("members", "member"), ("controls", "control")):
                    row[f"recall_{side}"] = len(back[split]) / 8
                row["excess_recall"] = row["recall_members"] - row["recall_controls"]
                rows.append(row)
                images += found
    return rows, images


def loaded(rows: Rows, images: Rows, folder: Path) -> tuple[list[Group], pd.DataFrame]:
    store.publish(rows, images, folder)
    scores, frame = store.load_results(folder)
    return aggregate(scores), frame


def line(groups: list[Group], images: pd.DataFrame) -> planted.Line:
    return next(one for one in planted.lines(groups, images) if one.group.role == "attack")


def test_both_kinds_have_members_and_controls_of_their_own(tmp_path: Path) -> None:
    one = line(*loaded(*made(), tmp_path))
    assert sorted(one.cells) == [0, 1, 2]
    marked, ordinary = one.cells[0]
    assert marked.members.tolist() == [0.8] * 4
    assert marked.controls.tolist() == [0.2, 0.2, 0.2, 0.8]
    assert ordinary.members.tolist() == [0.8, 0.2, 0.2, 0.2]
    assert ordinary.controls.tolist() == [0.2] * 4
    assert (marked.excess, ordinary.excess) == (0.75, 0.25)


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    one = line(*loaded(*made(), tmp_path))
    assert one.without is not None
    assert one.without.axis == {"watermark": "none"}
    assert one.apart == [0.5, 0.25, 0.25]
    assert one.change == pytest.approx([0.25 - 4 / 8, 0.5 - 5 / 8, 0.5 - 5 / 8])


def test_the_page_says_in_words_which_come_back_more_often(tmp_path: Path) -> None:
    text = "\n".join(planted.section(*loaded(*made(seeds=5), tmp_path)))
    assert "- haim_kkt, noise: planted images come back **more often than ordinary ones** (+0.30 [+0.16, +0.44])" in text
    assert "ordinary ones **less often than without one** (−0.15 [−0.22, −0.08])." in text
    assert "| noise | haim_kkt | 20 / 20 | 5 / 20 | 9 / 20 | 0 / 20 | +0.30 [+0.16, +0.44] | −0.15 [−0.22, −0.08] |" in text
    assert "| 0.80 : 0.35 | 0.47 : 0.20 | 5 |" in text
    assert "| noise | 20 / 20 | 0.5 : 0.1 | 1.00 [1.00, 1.00] | 5.5 : 1.5 | 5 |" in text
    assert "- *mean_image*" not in text  # a control line has a row, and no sentence
    assert "*mean_image* (control)" in text


def test_kinds_that_come_back_alike_are_not_apart(tmp_path: Path) -> None:
    rows, images = made()
    for image in images:
        image["ssim"] = 0.8 if image["index"] % 2 else 0.2
    text = "\n".join(planted.section(*loaded(rows, images, tmp_path)))
    assert "come back not apart from ordinary ones (0.00 [0.00, 0.00])" in text


def test_a_line_without_its_like_without_a_watermark_says_nothing_of_a_change(tmp_path: Path) -> None:
    rows, images = made()
    rows = [row for row in rows if row["defense"] != "none"]
    kept = {row["cell_id"] for row in rows}
    groups, frame = loaded(rows, [image for image in images if image["cell_id"] in kept], tmp_path)
    assert line(groups, frame).without is None
    assert line(groups, frame).change == [None] * 3
    assert "without" not in "\n".join(planted.section(groups, frame)).split("\n\n")[1]


def test_planted_inputs_without_unplanted_ones_have_no_excess(tmp_path: Path) -> None:
    rows, images = made()
    images = [image for image in images if not (image["split"] == "control" and image["planted"])]
    one = line(*loaded(rows, images, tmp_path))
    assert one.apart == [None] * 3
    groups, frame = loaded(rows, images, tmp_path)
    assert "not to be told" in "\n".join(planted.section(groups, frame))
    assert planted.figure(groups, frame, "title") is not None


def test_multipliers_and_margins_may_be_unknown(tmp_path: Path) -> None:
    rows, images = made(seeds=1)
    for image in images:
        image["multiplier"] = image["margin"] = None
        image["ssim"] = None if image["index"] == 0 else image["ssim"]
    groups, frame = loaded(rows, images, tmp_path)
    text = "\n".join(planted.section(groups, frame))
    assert "(one seed)" in text
    assert "What the weights hold" not in text
    assert "nan" not in text.lower()
    assert planted.figure(groups, frame, "title") is not None
    assert line(groups, frame).cells[0][1].members[0] == 0  # a miss


def test_the_chance_of_a_larger_multiplier_counts_ties_half() -> None:
    def part(*values: float) -> planted.Part:
        return planted.Part(np.zeros(1), np.zeros(1), np.zeros(1), np.array(values))

    assert planted.larger(part(3, 1), part(2, 1)) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert planted.larger(part(np.nan), part(1)) is None


def test_rows_without_flags_get_no_section_and_no_picture(tmp_path: Path) -> None:
    groups, frame = loaded(*made(flags=False), tmp_path)
    assert planted.section(groups, frame) == []
    assert planted.figure(groups, frame, "title") is None


def test_the_picture_goes_with_its_rows(tmp_path: Path) -> None:
    rows, images = made()
    store.publish(rows, images, tmp_path)
    report.render(tmp_path)
    picture = tmp_path / "figures" / "watermark_planted.png"
    assert picture.is_file()
    page = (tmp_path / "watermark.md").read_text()
    assert page.count("](figures/watermark_planted.png)") == 1
    before = picture.read_bytes(), page
    report.render(tmp_path)
    assert (picture.read_bytes(), (tmp_path / "watermark.md").read_text()) == before
    for image in images:
        image["planted"] = None
    store.publish(rows, images, tmp_path)
    report.render(tmp_path)
    assert not picture.exists()
