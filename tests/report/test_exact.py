"""How many secret images come back exactly: what counts, beside what, and what is said of networks with a kink and of smooth ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import fake
import pytest
import torch

from bench import store
from bench.api import KINKED, Activation, Setting
from bench.report import render
from bench.report.aggregate import aggregate
from bench.targets.models import activation_slope
from bench.tracks.informed.page import exact

Rows = list[dict[str, Any]]
Counts = dict[tuple[str, Any], list[int]]  # attack and value of the axis → exact members of 20, one number a seed


def made(counts: Counts, field: str = "activation", **base: Any) -> tuple[Rows, Rows]:
    """Cells of the track whose other answers have an SSIM just below the threshold, and those beside controls one of 0.3."""
    values = list(dict.fromkeys(value for _, value in counts))
    rows, images = [], []
    for (attack, value), per_seed in counts.items():
        for seed, count in enumerate(per_seed):
            setting = Setting.model_validate({**base, field: value, "seed": seed})
            axis = {**{name: str(other) for name, other in base.items()}, field: str(value)}
            role = "control" if attack == "nearest_shadow" else "attack"
            row, mine = fake.cell("puzzle", attack, setting, axis, values.index(value), (0.5, 0.0), track="informed", role=role)
            row["cell_id"] = f"{attack}-{'-'.join(axis.values())}-{seed}"
            for image in mine:
                beyond = image["split"] == "control" or image["index"] >= count
                image |= {"cell_id": row["cell_id"], "ssim": 0.3 if image["split"] == "control" else 0.9894 if beyond else 0.99}
            rows.append(row)
            images += mine
    return rows, images


def text_of(rows: Rows, images: Rows, folder: Path) -> str:
    store.publish(rows, images, folder)
    scores, found = store.load_results(folder)
    return "\n".join(exact.section(aggregate(scores, found), found))


def test_exact_is_an_ssim_of_99_per_cent_or_more(tmp_path: Path) -> None:
    text = text_of(*made({("solver", "relu"): [13, 15], ("solver", "elu"): [20, 20]}), tmp_path)
    row = next(line for line in text.splitlines() if line.startswith("| relu | solver | 28 / 40 ["))
    assert [cell.strip() for cell in row.split("|")][-3:-1] == ["12", "0.989"], "the others' median is 0.9894"
    assert "| elu | solver | 40 / 40 [91, 100] % | 0 / 40 [0, 9] % | 0 | — |" in text


def test_the_interval_is_over_seeds_and_images(tmp_path: Path) -> None:
    text = text_of(*made({("solver", "relu"): [0, 20]}), tmp_path)
    assert "| relu | solver | 20 / 40 [0, 100] % |" in text, "other seeds may be all like either of them"


def test_an_answer_without_an_ssim_is_a_miss(tmp_path: Path) -> None:
    rows, images = made({("solver", "relu"): [20, 20]})
    for image in images:
        if image["split"] == "member" and image["index"] in (3, 4):
            image["ssim"] = None
    assert "| relu | solver | 36 / 40 [" in (text := text_of(rows, images, tmp_path))
    assert "| 4 | — |" in text, "of those that are left none has an SSIM"


def test_controls_are_counted_beside(tmp_path: Path) -> None:
    rows, images = made({("solver", "relu"): [10]})
    next(image for image in images if image["split"] == "control")["ssim"] = 0.995
    assert " | 1 / 20 [" in text_of(rows, images, tmp_path)


@pytest.mark.parametrize(
    ("relu", "elu", "words"),
    [
        ([14, 15, 16], [19, 20, 20], "hold it as exactly as smooth ones**; it is found less often."),
        ([19, 20, 20], [14, 15, 16], "hold it as exactly as smooth ones**; it is found more often."),
        ([10, 20, 14], [18, 12, 15], "hold it as exactly as smooth ones**; whether it is found less often, these seeds do not tell."),
        ([15], [20], "hold it as exactly as smooth ones**; too few seeds to tell whether it is found less often."),
        ([0, 0, 0], [18, 19, 20], "**With a kink (relu) no image is found exactly, with smooth activations some are: whether"),
        ([3, 4, 5], [0, 0, 0], "**Networks whose activation has a kink (relu) hold the image exactly; of smooth ones none is found.**"),
    ],
)  # fmt: skip
def test_the_verdict_needs_exact_images_and_tests_how_often_by_seed(relu: list[int], elu: list[int], words: str, tmp_path: Path) -> None:
    text = text_of(*made({("solver", "relu"): relu, ("solver", "elu"): elu, ("older", "relu"): [0] * len(relu)}), tmp_path)
    first = text.splitlines()[0]
    assert words in first
    assert f"solver gives back {sum(relu)} of {20 * len(relu)} with a kink and {sum(elu)} of {20 * len(elu)} smooth: " in first


def test_the_difference_is_paired_by_seed(tmp_path: Path) -> None:
    """Each seed's images are others, and some are harder whatever the activation."""
    text = text_of(*made({("solver", "relu"): [2, 8, 15], ("solver", "elu"): [4, 10, 17]}), tmp_path)
    assert "−0.10 [−0.10, −0.10]" in text
    text = text_of(*made({("solver", "relu"): [2, 8, 14], ("solver", "elu"): [4, 11, 17], ("solver", "leaky_relu"): [4, 8, 16]}), tmp_path)
    assert "a kink (relu, leaky_relu)" in text, "mean shares over settings of a kind"
    assert "−0.10 [−0.22, +0.02]" in text.splitlines()[0], "of −0.05, −0.15 and −0.10"


def test_what_a_control_attack_gives_as_well_shows_nothing(tmp_path: Path) -> None:
    counts = {("solver", "relu"): [5, 6], ("solver", "elu"): [5, 6]}
    text = text_of(*made(counts | {("nearest_shadow", "relu"): [6, 6], ("nearest_shadow", "elu"): [6, 6]}), tmp_path)
    assert text.splitlines()[0].startswith("- **No image is found exactly that controls do not give as well.**")
    text = text_of(*made(counts | {("nearest_shadow", "relu"): [6, 6], ("nearest_shadow", "elu"): [1, 1]}), tmp_path)
    assert text.splitlines()[0].startswith("- **With a kink (relu) no image is found exactly")
    assert "| relu | *nearest_shadow* (control) | 12 / 40 [" in text


def test_along_another_axis_there_is_no_verdict(tmp_path: Path) -> None:
    text = text_of(*made({("solver", 0.0): [3, 4], ("solver", 0.1): [1, 2]}, "weight_decay"), tmp_path)
    assert text.splitlines()[0] == "- solver gives back 10 of 80 secret images exactly."
    assert "kink" not in text


def test_each_data_set_has_its_own_verdict(tmp_path: Path) -> None:
    parts = [
        made({("solver", "relu"): [15, 15], ("solver", "elu"): [20, 20]}, dataset="lfw_faces"),
        made({("solver", "relu"): [0, 0], ("solver", "elu"): [9, 9]}, dataset="photo_tiles"),
    ]
    text = text_of([row for rows, _ in parts for row in rows], [image for _, images in parts for image in images], tmp_path)
    first, second = text.splitlines()[:2]
    assert first.startswith("- lfw_faces: **Where the image is found")
    assert second.startswith("- photo_tiles: **With a kink (relu) no image is found exactly")


@pytest.mark.parametrize("counts", [{("solver", "relu"): [0, 0]}, {("solver", "relu"): [0], ("nearest_shadow", "relu"): [1]}])
def test_where_no_attack_gave_one_back_there_is_no_section_and_no_picture(counts: Counts, tmp_path: Path) -> None:
    rows, images = made(counts)
    assert text_of(rows, images, tmp_path) == ""
    scores, found = store.load_results(tmp_path)
    assert exact.figure(aggregate(scores, found), "Puzzle", found) is None


def test_a_line_without_image_rows_is_left_out(tmp_path: Path) -> None:
    rows, images = made({("solver", "relu"): [5, 5], ("solver", "elu"): [5, 5]})
    text = text_of(rows, [image for image in images if "elu-1" not in image["cell_id"] or "relu" in image["cell_id"]], tmp_path)
    assert "| relu | solver |" in text
    assert "| elu | solver |" not in text


def test_the_page_shows_section_and_picture(tmp_path: Path) -> None:
    rows, images = made({("solver", "relu"): [14, 15], ("solver", "elu"): [20, 20], ("nearest_shadow", "relu"): [0, 0]})
    store.publish(rows, images, tmp_path)
    render(tmp_path)
    page = (tmp_path / "puzzle.md").read_text(encoding="utf-8")
    assert "### How many come back exactly?\n\n- **Where the image is found" in page
    assert "(figures/puzzle_exact.png)" in page
    assert (tmp_path / "figures" / "puzzle_exact.png").is_file()


def test_the_picture_shows_the_shares_and_their_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, images = made({("solver", "relu"): [13, 15], ("solver", "elu"): [20, 20], ("nearest_shadow", "relu"): [0, 0]})
    store.publish(rows, images, tmp_path)
    scores, found = store.load_results(tmp_path)
    drawn: list[Any] = []
    monkeypatch.setattr(exact.figures, "excess", lambda groups, title: drawn.extend(groups) or b"")
    exact.figure(aggregate(scores, found), "Puzzle", found)
    shares = {(group.name, group.label): group.excess for group in drawn}
    assert shares["solver", "relu"].estimate == 28 / 40
    assert shares["solver", "relu"].low < 28 / 40 < shares["solver", "relu"].high
    assert shares["solver", "elu"].low < 1 == shares["solver", "elu"].high
    assert shares["nearest_shadow", "relu"].high > 0


def test_an_activation_with_a_kink_has_another_slope_on_either_side() -> None:
    ends = torch.tensor([-1e-6, 1e-6])
    jumps = {name: float(activation_slope(name, ends).diff().abs()) for name in get_args(Activation)}
    assert {name for name, jump in jumps.items() if jump > 0.1} == KINKED
