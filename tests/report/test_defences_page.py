"""The page of defences: judged by the strongest attacker that knows of them, paired with no defence, corrected within the page."""

from __future__ import annotations

from pathlib import Path

import fake
import numpy as np
import pytest

from bench.api import Setting
from bench.report import render
from bench.report.aggregate import aggregate
from bench.report.kit import defences
from bench.store import load_results, publish

SEEDS = 6
# label: (defence, its parameters, attacks that know of it, chance of a hit by each attack, test accuracy)
KNOWN = ("span_ica", "span_public")
BOARD = {
    "none": ("none", {}, None, (0.9, 0.8), 0.8),
    "noise 1": ("weight_noise", {"relative_std": 1.0}, "span_public", (0.1, 0.7), 0.8),
    "noise 9": ("weight_noise", {"relative_std": 9.0}, "span_public", (0.0, 0.1), 0.6),
    "kept 4": ("span_noise", {"keep": 4}, "span_public", (0.05, 0.05), 0.798),
    "rounded": ("rounding", {"bits": 8}, "span_completed", (0.1, 0.1), 0.8),
    "useless": ("quantization", {"bits": 16}, "span_public", (0.9, 0.8), 0.8),
}  # fmt: skip


def rows_of(board: dict, folder: Path, seeds: int = SEEDS, **more: dict) -> Path:
    rows, images = [], []
    for index, (label, (name, params, against, chances, accuracy)) in enumerate(board.items()):
        for seed in range(seeds):
            setting = Setting(dataset="photo_tiles", n_per_class=10, seed=seed, defense=name, defense_params=params)
            told = {
                "defense_against": against,
                "test_accuracy": accuracy + 0.001 * seed + 0.002 * index * (seed % 2),
                **more.get(label, {}),
            }
            for attack, chance in zip(KNOWN, chances, strict=True):
                row, found = fake.cell("defenses", attack, setting, {"defence": label}, index, (chance, 0.02), **told)
                rows.append(row)
                images += found
            row, found = fake.cell("defenses", "mean_image", setting, {"defence": label}, index, (0.02, 0.02), **told)
            rows.append(row)
            images += found
    publish(rows, images, folder)
    return folder


@pytest.fixture(scope="module")
def part(tmp_path_factory) -> dict[str, defences.Point]:
    rows, images = load_results(rows_of(BOARD, tmp_path_factory.mktemp("defences")))
    found = defences.points(aggregate(rows, images), rows, images)
    defences.correct([found])
    return {point.label: point for point in found}


def test_each_is_paired_with_no_defence_by_seed(part):
    assert part["none"].base is None
    for label in set(BOARD) - {"none"}:
        point = part[label]
        assert point.base is part["none"]
        strongest = part["none"].strongest
        for group, deltas in zip(point.attacks, point.deltas, strict=True):
            assert deltas == pytest.approx([strongest.per_seed[seed] - group.per_seed[seed] for seed in range(SEEDS)])
        assert point.lowered is not None
        assert point.lowered.estimate == pytest.approx(min(map(np.mean, point.deltas)))


def test_the_strongest_attack_judges_and_not_the_one_that_the_defence_was_made_against(part):
    noise = part["noise 1"]
    assert noise.strongest.attack == "span_public"
    assert noise.found == pytest.approx(np.mean(list(noise.strongest.per_seed.values())))
    assert noise.found > 0.5


def test_nothing_is_effective_without_an_attack_that_knows_of_it(part):
    assert part["kept 4"].verdict == "effective"
    assert part["kept 4"].adapted == ["span_public"]
    assert part["rounded"].adapted == []
    assert part["rounded"].verdict == "not judged", "span_completed was not run, however little the others found"
    assert part["useless"].verdict == "open"


def test_p_values_are_corrected_together(part):
    raw = {(label, name): p for label, point in part.items() for name, p in point.p_values().items()}
    assert len(raw) == 2 * (len(BOARD) - 1)
    from bench.metrics.significance import holm

    whole = dict(zip(raw, holm(list(raw.values())), strict=True))
    assert {(label, name): point.corrected[name] for label, point in part.items() for name in point.p_values()} == whole
    assert any(whole[key] > raw[key] for key in raw)


def test_the_dominated_are_named(part):
    assert part["noise 9"].dominated_by is part["kept 4"]
    assert part["kept 4"].dominated_by is None
    assert part["none"] not in (part["kept 4"].dominated_by,)
    frontier = [point.label for point in defences.undominated(list(part.values()))]
    assert "kept 4" in frontier
    assert "noise 9" not in frontier


def test_the_most_vulnerable_tenth_is_each_setting_s_own(part):
    point = part["kept 4"]
    assert point.vulnerable is not None
    assert point.base is not None
    own = [np.sort(point.ssim[s])[-2:].mean() for s in range(SEEDS)]
    before = [np.sort(point.base.ssim[s])[-2:].mean() for s in range(SEEDS)]
    assert point.vulnerable.estimate == pytest.approx(np.mean(before) - np.mean(own))
    hit, of = point.still or (0, 0)
    assert of == 2 * SEEDS
    assert hit < of / 2


def test_one_sentence_a_defence(part):
    said = {point.defence: words for point, words in defences.sentences(list(part.values()))}
    assert len(defences.sentences(list(part.values()))) == len(said) == len({p.defence for p in part.values() if p.base is not None})
    assert said["span_noise"].startswith("use it (kept 4); the strongest attack finds")
    assert said["quantization"].startswith("do not rely on it")
    assert said["rounding"].startswith("run an attack that knows of it")
    assert "kept 4 does as much for less" in said["weight_noise"]


def test_the_page_has_the_section_the_picture_and_the_columns_of_dp(tmp_path):
    board = {**BOARD, "private": ("weight_noise", {"relative_std": 0.5}, "span_public", (0.3, 0.3), 0.7)}
    rows_of(board, tmp_path, private={"epsilon": 3.25, "rero_bound": 0.5})
    render(tmp_path)
    text = (tmp_path / "defenses.md").read_text()
    assert "## What each defence is worth" in text
    assert "| epsilon | rero_bound |" in text
    line = next(line for line in text.splitlines() if line.startswith("| private |") and line.endswith("|") and "3.25" in line)
    assert line.endswith("| 3.25 | 0.5 |")
    assert "Undominated, the most accurate first:" in text
    assert (tmp_path / "figures" / "defenses_defences.png").exists()


def test_a_grid_without_a_defence_has_no_such_section(rendered):
    assert "What each defence is worth" not in (rendered / "quick.md").read_text()


def test_a_network_that_only_answers_is_compared_with_one_that_answers_undefended(tmp_path):
    rows, images = [], []
    for index, (label, name) in enumerate((("none", "none"), ("masked", "gradient_masking"))):
        for seed in range(SEEDS):
            setting = Setting(dataset="photo_tiles", n_per_class=10, seed=seed, defense=name)
            for attack, chance, access in (
                ("span_ica", (0.95, None), "final_weights+mean_image"),
                ("explained", (0.5, 0.1), "input_gradients+public_images"),
            ):
                if chance[index] is None:
                    continue
                row, found = fake.cell(
                    "defenses", attack, setting, {"defence": label}, index, (chance[index], 0.02), access=access,
                    defense_against=None if name == "none" else "explained",
                )  # fmt: skip
                rows.append(row)
                images += found
    publish(rows, images, tmp_path)
    rows, images = load_results(tmp_path)
    found = {point.label: point for point in defences.points(aggregate(rows, images), rows, images)}
    assert list(found) == ["none", "none, questions only", "masked"]
    assert found["masked"].base is found["none, questions only"]
    assert found["masked"].base.strongest.attack == "explained"
    assert found["none"].dominated_by is None, "who gives no weights is another owner"
