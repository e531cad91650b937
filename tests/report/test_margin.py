"""Members near the margin: distances, quarters and rank correlations by hand, and pages that hold without margins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from bench import report, store
from bench.report.aggregate import aggregate
from bench.report.kit import correlation
from bench.report.kit.groups import Group
from bench.tracks.reconstruction.page import margin

Rows = list[dict[str, Any]]


def made(seeds: int = 2, attacks: tuple[str, ...] = ("haim_kkt", "mean_image")) -> tuple[Rows, Rows]:
    """Cells of 8 members and 8 controls. Members: margins 3, 4, … 10, SSIM falling from 0.9 by 0.1. Controls: margins 1, 2, … 8."""
    rates: dict[str, list[float | None]] = {name: [0.5] for name in attacks}
    rows, images = fake.grid("quick", "dataset", ["lfw_faces"], rates, seeds=seeds, n_per_class=4)
    for image in images:
        member = image["split"] == "member"
        image["margin"] = float(image["index"] + (3 if member else 1))
        image["ssim"] = round(0.9 - 0.1 * image["index"], 4) if member else 0.3
        image["multiplier"] = 2.0 ** -image["index"] if member else None
    return rows, images


def loaded(rows: Rows, images: Rows, folder: Path) -> tuple[list[Group], pd.DataFrame]:
    store.publish(rows, images, folder)
    scores, frame = store.load_results(folder)
    return aggregate(scores), frame


def test_distances_start_at_the_nearest_member_for_controls_too(tmp_path: Path) -> None:
    groups, images = loaded(*made(), tmp_path)
    found = margin.cells(next(g for g in groups if g.role == "attack"), images)
    assert sorted(found) == [0, 1]
    members, controls = found[0]
    assert members.distance.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert controls.distance.tolist() == [-2, -1, 0, 1, 2, 3, 4, 5]
    assert members.quarter.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert members.multiplier.tolist() == [2.0**-i for i in range(8)]


def test_the_page_counts_both_sides_by_quarters(tmp_path: Path) -> None:
    groups, images = loaded(*made(), tmp_path)
    text = "\n".join(margin.section(groups, images))
    assert "| haim_kkt | −1.00 [−1.00, −1.00] | — | — | +1.00 [+1.00, +1.00] | 2 |" in text
    quarters = [line.split(" | ")[2:8] for line in text.splitlines() if "quarter |" in line or "margins |" in line]
    assert quarters == [
        ["smallest margins", "0.5 : −1.5", "0.75", "4 / 4", "0 / 4", "0.85 [0.80, 0.90]"],
        ["second quarter", "2.5 : 0.5", "0.188", "4 / 4", "0 / 4", "0.65 [0.60, 0.70]"],
        ["third quarter", "4.5 : 2.5", "0.0469", "2 / 4", "0 / 4", "0.45 [0.40, 0.50]"],
        ["largest margins", "6.5 : 4.5", "0.0117", "0 / 4", "0 / 4", "0.25 [0.20, 0.30]"],
    ]
    assert "mean_image" not in text  # a control line rebuilds nothing of which members could be asked


def test_ties_share_a_quarter_and_constant_margins_have_no_correlation(tmp_path: Path) -> None:
    side = margin.Side(np.array([0, 0, 0, 0, 1, 2, 3, 4.0]), np.zeros(8), np.full(8, np.nan))
    assert side.quarter.tolist() == [1, 1, 1, 1, 2, 2, 3, 3]
    assert margin.Side(np.zeros(5), np.zeros(5), np.zeros(5)).quarter.tolist() == [2] * 5
    rows, images = made()
    for image in images:
        image["margin"] = 5.0
        image["multiplier"] = 0.0 if image["split"] == "member" else None
    groups, frame = loaded(rows, images, tmp_path)
    text = "\n".join(margin.section(groups, frame))
    assert "not to be told" in text
    assert "nan" not in text.lower()
    assert margin.figure(groups, frame, "title") is not None


def test_a_miss_counts_as_no_similarity_and_unknown_multipliers_are_left_out(tmp_path: Path) -> None:
    rows, images = made(seeds=1)
    for image in images:
        if image["split"] == "member":
            image["multiplier"] = None
            image["ssim"] = None if image["index"] == 0 else image["ssim"]
    groups, frame = loaded(rows, images, tmp_path)
    members, _ = margin.cells(groups[0], frame)[0]
    assert members.ssim.tolist() == pytest.approx([0, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    text = "\n".join(margin.section(groups, frame))
    assert "(one seed)" in text
    assert "| smallest margins | 0.5 : −1.5 | — | 1 / 2 | 0 / 2 |" in text


def test_a_grid_whose_attacks_are_all_flagged_gets_no_picture(tmp_path: Path) -> None:
    groups, frame = loaded(*made(), tmp_path)
    for group in groups:
        group.flagged = True  # not from the weights: it leads nothing, and there is no other
    assert margin.figure(groups, frame, "title") is None


def test_rows_without_margins_get_no_section_and_no_picture(tmp_path: Path) -> None:
    rows, images = made()
    for image in images:
        image["margin"] = image["multiplier"] = None
    groups, frame = loaded(rows, images, tmp_path)
    assert margin.section(groups, frame) == []
    assert margin.figure(groups, frame, "title") is None
    report.render(tmp_path)
    assert not list((tmp_path / "figures").glob("*_margin.png"))
    assert "margin" not in (tmp_path / "quick.md").read_text()


def test_members_alone_are_not_enough(tmp_path: Path) -> None:
    rows, images = made()
    for image in images:
        if image["split"] == "control":
            image["margin"] = None
    groups, frame = loaded(rows, images, tmp_path)
    assert margin.section(groups, frame) == []


def test_the_verdict_asks_whether_controls_show_the_same(tmp_path: Path) -> None:
    rows, images = made(seeds=5)
    rng = np.random.default_rng(0)
    for image in images:  # easy images are rebuilt worse whether they are members or not
        image["ssim"] = round(0.9 - 0.1 * image["index"] + rng.uniform(-0.15, 0.15), 4)
    groups, frame = loaded(rows, images, tmp_path / "alike")
    assert "but not clearly more so than controls" in "\n".join(margin.section(groups, frame))
    for image in images:
        if image["split"] == "control":
            image["ssim"] = round(rng.uniform(0, 0.3), 4)
    groups, frame = loaded(rows, images, tmp_path / "members")
    assert "**yes**, and more so than controls" in "\n".join(margin.section(groups, frame))


def test_nothing_is_called_rebuilt_that_is_not(tmp_path: Path) -> None:
    """SSIM that falls with the distance, far below the threshold, is no reconstruction."""
    rows, images = made(seeds=5)
    rng = np.random.default_rng(0)
    for row in rows:
        row["recall_members"] = row["recall_controls"] = row["excess_recall"] = 0.0
    for image in images:
        slope = 0.01 if image["split"] == "member" else 0.0
        image["ssim"] = round(0.2 - slope * image["index"] + rng.uniform(-0.005, 0.005), 4)
    text = "\n".join(margin.section(*loaded(rows, images, tmp_path)))
    assert "not clearly more members than controls were rebuilt" in text
    assert "**yes**" not in text


def test_the_picture_goes_with_its_rows(tmp_path: Path) -> None:
    rows, images = made()
    store.publish(rows, images, tmp_path)
    report.render(tmp_path)
    picture = tmp_path / "figures" / "quick_margin.png"
    assert picture.is_file()
    page = (tmp_path / "quick.md").read_text()
    assert page.count("](figures/quick_margin.png)") == 1
    before = picture.read_bytes(), page
    report.render(tmp_path)
    assert (picture.read_bytes(), (tmp_path / "quick.md").read_text()) == before
    for image in images:
        image["margin"] = None
    store.publish(rows, images, tmp_path)
    report.render(tmp_path)
    assert not picture.exists()


def test_rank_correlation_agrees_with_scipy_and_leaves_out_what_is_not_finite() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        x, y = rng.integers(0, 5, size=(2, 30)).astype(float)  # many ties
        assert correlation.spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    x, y = np.array([1, 2, np.nan, 3, 4]), np.array([4, 3, 9, np.inf, 1])
    assert correlation.spearman(x, y) == -1
    assert correlation.spearman([1, 2], [2, 1]) is None
    assert correlation.spearman([1, 1, 1], [1, 2, 3]) is None


def test_seeds_without_a_correlation_are_left_out_of_its_mean() -> None:
    found = correlation.over_seeds([-0.5, None, -0.3])
    assert found is not None
    assert found.estimate == pytest.approx(-0.4)
    assert (found.low, found.high) == (-1.0, pytest.approx(-0.4 + 12.7062 * 0.1, abs=1e-4))  # cut to what is possible
    assert correlation.over_seeds([None]) is None
    assert correlation.shown([None, None]) == "—"
    assert correlation.shown([None, -0.25]) == "−0.25 (1 of 2 seeds; the others have none)"
    assert correlation.shown([-0.25]) == "−0.25 (one seed)"
    assert correlation.shown([float("nan"), -0.25, -0.25]) == "−0.25 [−0.25, −0.25]"
    assert correlation.apart([-0.25, None]) is None
    assert correlation.apart([-0.25, -0.25, float("nan")]) == 0, "an interval of no width is no certainty"
    assert correlation.apart([-0.25, -0.26, -0.24]) == -1
