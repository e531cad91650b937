"""One grid at several scales: the same question, each with a name and a page of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.grids.load import builtin, expand, load

TEXT = """
name: sizes
title: Sizes
base: {dataset: lfw_faces, n_per_class: 2, hidden: [8]}
axes: {weight_decay: [0, 0.01]}
seeds: 2
attacks: [mean_image]
scales:
  full: {base: {n_per_class: 50}, seeds: 3, axes: {weight_decay: [0, 0.001, 0.01]}, attacks: [heldout_images]}
"""


def write(folder: Path, text: str = TEXT) -> Path:
    path = folder / "sizes.yaml"
    path.write_text(text)
    return path


def test_a_scale_merges_the_base_and_replaces_the_rest(tmp_path: Path) -> None:
    small, also_small, full = (load(write(tmp_path), scale=scale).grid for scale in ("", "small", "full"))
    assert small == also_small
    assert (small.name, small.title) == ("sizes", "Sizes")
    assert (full.name, full.title) == ("sizes_full", "Sizes (full scale)")
    assert full.base == {"dataset": "lfw_faces", "n_per_class": 50, "hidden": [8]}
    assert (len(expand(small)), len(expand(full))) == (4, 9)
    assert [spec.name for spec in full.attacks] == ["heldout_images"]
    assert not full.scales
    assert load(write(tmp_path), ["n_per_class=9"], "full").grid.base["n_per_class"] == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{base: {n_per_clas: 50}}", "n_per_clas"),
        ("{seedz: 3}", "seedz"),
        ("{base: {n_per_class: 0}}", "n_per_class"),
        ("3", "scales"),
    ],
)
def test_a_broken_scale_is_said_whichever_is_asked_for(tmp_path: Path, change: str, message: str) -> None:
    text = TEXT[: TEXT.index("  full:")] + f"  full: {change}\n"
    with pytest.raises(BenchError, match=message):
        load(write(tmp_path, text))


def test_an_unknown_scale_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"no scale 'ful'\. Did you mean 'full'") as error:
        load(write(tmp_path), scale="ful")
    assert "small, full" in str(error.value)


@pytest.mark.parametrize("name", sorted(builtin()))
def test_every_scale_of_a_built_in_grid_can_be_planned(name: str) -> None:
    for scale in load(name).grid.scales:
        assert load(name, scale=scale).grid.name == f"{name}_{scale}"
