"""One grid at several scales: the same question, each with a name and a page of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import registry
from bench.claims import findings
from bench.cli import main
from bench.engine import plan
from bench.errors import BenchError
from bench.grids.points import expand
from bench.grids.read import builtin, load

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


def test_pages_and_claims_know_every_scale_of_a_built_in_grid() -> None:
    """A page's command and a claim's lines go by the end of the grid's name, for rows know no more."""
    assert {scale for name in builtin() for scale in load(name).grid.scales} <= set(findings.SCALES)


SCALES = [(name, scale) for name in sorted(builtin()) for scale in ("small", *load(name).grid.scales)]


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_a_sweep_of_every_grid_is_planned(name: str, scale: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """Whatever its data set, which need not be here. A grid without any attack to sweep says that, and nothing else."""
    pretended = classmethod(lambda cls, name: cls(name, None, "", "0" * 16, (3, 32, 32)))
    monkeypatch.setattr(plan._Source, "of", pretended)
    listed = load(name, scale=scale).grid.attacks
    sweeps = any(registry.get("attack", spec.name).ranges for spec in listed)
    code = main(["run", "--grid", name, "--scale", scale, "--runs", "3", "--dry-run"])
    out, err = capsys.readouterr()
    assert (code, "no attack of grid" in err) == ((0, False) if sweeps else (1, True)), err
    assert all(spec.name in out for spec in listed) or not sweeps
