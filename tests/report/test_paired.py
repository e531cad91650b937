"""The informed track's part of a page: paired by image, in the attacker's favour or not, with intervals that mean it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from bench.report.kit.groups import Group
from bench.tracks.informed.page import paired

SEEDS = (0, 1, 2)


def group(attack: str, label: str, role: str = "attack") -> Group:
    cells = {seed: f"{attack}-{label}-{seed}" for seed in SEEDS}
    return Group(
        "g", "", {"activation": label}, ["relu", "elu"].index(label), "informed", attack, "", role, "", {}, list(SEEDS), Counter(ok=3), [],
        cell_ids=cells, means={"ssim_mean": 0.5, "pool_ssim_mean": 0.3},
    )  # fmt: skip


def values(groups: list[Group], mse: dict[tuple[str, str], float], n: int = 60) -> dict[str, pd.DataFrame]:
    rows = []
    for g in groups:
        for seed, cell in g.cell_ids.items():
            noise = np.random.default_rng([seed, 7]).random(n) * 0.01  # of the images, which all lines share
            for i in range(n):
                value = mse[g.attack, g.label] * (1 + 0.002 * seed) + noise[i]  # no two seeds quite alike
                rows.append({"cell_id": cell, "split": "member", "index": i, "mse": value, "ssim": 1 - value, "lpips": value})
                rows[-1] |= {"pool_mse": 0.03 + noise[i], "pool_ssim": 0.4}
    return paired.members(pd.DataFrame(rows))


def test_verdicts_follow_from_paired_images():
    groups = [group("informed_adversary", "relu"), group("mnemonist_informed", "relu"), group("informed_adversary", "elu")]
    groups += [group("nearest_shadow", "relu", "control")]
    mse = {("informed_adversary", "relu"): 0.02, ("mnemonist_informed", "relu"): 0.019, ("informed_adversary", "elu"): 0.021}
    text = "\n".join(paired.section(groups, values(groups, mse | {("nearest_shadow", "relu"): 0.05})))
    assert "- informed_adversary, against relu: **worse** at elu." in text
    assert "- mnemonist_informed, against informed_adversary: **better** at relu." in text
    assert "- *nearest_shadow* (control), against informed_adversary: **worse** at relu." in text
    assert "| relu | informed_adversary | 0.02" in text
    assert "Means over 180 secret images of 3 initialisations" in text


def test_a_guided_line_is_compared_with_a_random_mask_of_its_size():
    guided, smaller, random = (
        group("mnemonist_informed", "relu"),
        group("mnemonist_informed", "relu"),
        group("random_mask", "relu", "control"),
    )
    ablated = group("mnemonist_informed", "relu")
    guided.hyperparameters = {"detector": "lime", "keep": 0.5, "ablate": "redundant"}
    smaller.hyperparameters = {"detector": "lime", "keep": 0.25, "ablate": "redundant"}
    ablated.hyperparameters = {"detector": "lime", "keep": 0.5, "ablate": "informative"}
    random.hyperparameters = {"keep": 0.5, "level": "unit"}
    for number, g in enumerate((guided, smaller, ablated)):
        g.variant = f"v{number}"
        g.cell_ids = {seed: f"{cell}-{number}" for seed, cell in g.cell_ids.items()}
    groups = [guided, smaller, ablated, random]
    text = "\n".join(paired.section(groups, values(groups, {("mnemonist_informed", "relu"): 0.019, ("random_mask", "relu"): 0.02})))
    part = text[text.index("### Against a random mask") :]
    assert "- mnemonist_informed (v0), against random: **better** at relu." in part
    assert "v1" not in part, "no random mask of its size"
    assert "v2" not in part, "an ablation is no guided attack"


def test_without_image_rows_there_are_no_lines():
    assert paired.section([group("informed_adversary", "relu")], {}) == []


def test_a_metric_with_a_gap_is_not_compared():
    groups = [group("informed_adversary", "relu"), group("mnemonist_informed", "relu")]
    found = values(groups, {("informed_adversary", "relu"): 0.02, ("mnemonist_informed", "relu"): 0.02})
    found["mnemonist_informed-relu-1"]["lpips"] = np.nan
    text = "\n".join(paired.section(groups, found))
    row = next(line for line in text.splitlines() if line.startswith("| relu | mnemonist_informed | 0.0000"))
    assert [cell.strip() for cell in row.split("|")][-3:-1] == ["—", "inconclusive"], "LPIPS of one image is missing"


def test_the_unit_is_the_seed():
    """Three seeds that each differ a lot from 0, on ever so many images, prove nothing where they disagree."""
    images = np.random.default_rng(0).normal(0, 0.01, 1000)
    zero = [np.zeros(1000)] * 3
    assert paired.paired([images + 1, images + 2], zero[:2]) == pytest.approx([1, 2], abs=1e-3)
    assert paired.verdict(paired.paired([images + 0.1, images + 0.2, images - 0.02], zero), "higher") == "inconclusive"
    assert paired.verdict(paired.paired([images + 0.1, images + 0.12, images + 0.11], zero), "higher") == "**better**"
    assert paired.verdict(paired.paired([images + 0.1, images + 0.12, images + 0.11], zero), "lower") == "**worse**"
    assert paired.verdict([0.1], "higher") == "inconclusive (one seed)"
    assert paired.verdict([], "higher") == "—"


def test_verdicts_are_wrong_about_as_often_as_they_say():
    rng = np.random.default_rng(1)
    words = [paired.verdict(rng.normal(0, 1, 3).tolist(), "higher") for _ in range(1000)]
    assert 0.02 < 1 - words.count("inconclusive") / 1000 < 0.08


def test_a_line_whose_public_images_are_unknown_has_dashes_and_lines_may_differ_in_their_seeds():
    groups = [group("informed_adversary", "relu"), group("informed_adversary", "elu")]
    found = values(groups, {("informed_adversary", "relu"): 0.02, ("informed_adversary", "elu"): 0.02})
    for cell in groups[1].cell_ids.values():
        found[cell]["pool_mse"] = np.nan
    del groups[1].cell_ids[2]
    text = "\n".join(paired.section(groups, found))
    assert "nan" not in text
    assert "Means over 120 to 180 secret images of 2 to 3 initialisations a line" in text
    assert "| elu | informed_adversary | 0.0252 | — | — | — | — |" in text or "| elu | informed_adversary | 0.02" in text
