"""A defence in a file of its own is checked, run and judged on the page, with no edit elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli import main

PLUGIN = '''
from dataclasses import dataclass
from typing import ClassVar

from bench.api import Defense
from bench.registry import register


@register
@dataclass(frozen=True)
class Scaled(Defense):
    """Multiplies the first layer."""

    name: ClassVar[str] = "{name}"
    paper: ClassVar[str] = "own"
    version: ClassVar[int | None] = 1
    against: ClassVar[tuple[str, ...]] = {against}

    by: float = 2.0

    def after_training(self, weights, generator):
        return {{name: w * self.by if name == "layers.0.weight" else w for name, w in weights.items()}}
'''
GRID = """
name: scaling
title: Scaling
base: {dataset: photo_tiles, n_per_class: 2, hidden: [12], epochs: 40}
axes:
  defence:
    - {label: none, set: {defense: none}}
    - {label: doubled, set: {defense: NAME}}
    - {label: tripled, set: {defense: NAME, defense_params: {by: 3.0}}}
seeds: 2
attacks: [span_ica, mean_image]
"""


@pytest.fixture
def written(tmp_path: Path):
    def write(name: str, against: str) -> str:  # a name is registered once
        (tmp_path / "scaling.yaml").write_text(GRID.replace("NAME", name))
        (tmp_path / f"{name}.py").write_text(PLUGIN.format(name=name, against=against))
        return str(tmp_path / f"{name}.py")

    return write


@pytest.mark.parametrize(("name", "against", "known"), [("scaled", '("span_ica",)', "span_ica"), ("scaled_unknown", "()", "none was run")])
def test_a_plugged_in_defence_is_on_the_page(tmp_path, written, name, against, known):
    out, plugin = tmp_path / "out", written(name, against)
    assert main(["run", "--grid", str(tmp_path / "scaling.yaml"), "--plugin", plugin, "--out", str(out)]) == 0
    page = (out / "scaling.md").read_text(encoding="utf-8")
    section = page[page.index("## What each defence is worth") :]
    assert f"- **{name}**: " in section
    for label in ("doubled", "tripled"):
        line = next(line for line in section.splitlines() if line.startswith(f"| {label} |"))
        assert known in line
    assert (out / "figures" / "scaling_defences.png").exists()


def test_check_covers_what_a_defence_says_of_attacks_and_tiers(written, capsys):
    assert main(["check", written("scaled_checked", '("span_ica",)')]) == 0
    assert "names attacks that know of it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "against", "said"),
    [
        ("knows_nobody", '("nobody",)', "there is no such attack"),
        ("knows_control", '("mean_image",)', "which is a control"),
        ("knows_text", '"span_ica"', "a tuple of names"),
        ("withholds_all", '()\n    withholds = frozenset({"everything"})', "access tiers are"),
    ],
)
def test_check_refuses_names_of_nothing(written, capsys, name, against, said):
    assert main(["check", written(name, against)]) == 2
    assert said in capsys.readouterr().out
