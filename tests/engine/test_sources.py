"""A row says of what source its attack was, whatever version it declares."""

from __future__ import annotations

import hashlib

import pandas as pd
import pytest

from bench import registry
from bench.engine import sources
from bench.engine.sources import source_of
from bench.grids.read import load
from bench.report.markdown import _sources

PLUGIN = '''"""An attack of a test."""
from dataclasses import dataclass
from typing import ClassVar
from bench.api import Attack
from bench.registry import register

@register
@dataclass(frozen=True)
class Grey(Attack):
    """Nothing but the mean image."""
    name: ClassVar[str] = "grey"
    needs: ClassVar[frozenset[str]] = frozenset({"mean_image"})
    version: ClassVar[int | None] = VERSION

    def reconstruct(self, release, generator):
        return release.mean_image[None] + EDIT
'''


def grey(path, version="3", edit="0"):
    path.write_text(PLUGIN.replace("VERSION", version).replace("EDIT", edit), encoding="utf-8")
    registry._plugins.clear()
    return registry.load_plugin(path)[0].cls


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(registry, "_plugins", {})


def test_a_plug_in_of_one_declared_version_is_told_apart_by_its_source(tmp_path):
    first = grey(tmp_path / "grey.py")
    head = hashlib.sha256((tmp_path / "grey.py").read_bytes()).hexdigest()[:8]
    assert registry.source_version(first) == f"3+src-{head}"
    version, hashed = registry.source_version(first), source_of(first)
    second = grey(tmp_path / "grey.py", edit="0.5")
    assert registry.source_version(second).startswith("3+src-")
    assert registry.source_version(second) != version
    assert source_of(second) != hashed
    assert registry.source_version(grey(tmp_path / "grey.py", version="None")).startswith("src-")


def test_the_projects_own_attacks_go_by_their_declared_number_and_hold_their_source():
    span = registry.get("attack", "span_ica")
    assert registry.source_version(span) == str(span.version)
    found = source_of(span)
    assert found is not None
    assert len(found) == 16
    assert len({source_of(registry.get("attack", name)) for name in registry.entries("attack")}) == len(registry.entries("attack"))


def test_what_an_attack_imports_of_the_project_counts_too(tmp_path, monkeypatch):
    folder = tmp_path / "attacks"
    (folder / "tools").mkdir(parents=True)
    (folder / "one.py").write_text("from attacks.tools import edge\nimport torch\n", encoding="utf-8")
    (folder / "tools" / "__init__.py").write_text("", encoding="utf-8")
    (folder / "tools" / "edge.py").write_text("from attacks.tools.deep import x\n", encoding="utf-8")
    (folder / "tools" / "deep.py").write_text("from attacks.tools import edge\nx = 1\n", encoding="utf-8")  # in a circle
    (folder / "other.py").write_text("y = 1\n", encoding="utf-8")
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    found = sources._imported(folder / "one.py", set())
    assert found == {folder / "tools" / name for name in ("__init__.py", "edge.py", "deep.py")}


def test_rows_hold_the_source_and_a_page_names_several_of_one_version():
    rows = pd.DataFrame([{"attack": "span_ica", "attack_version": "4", "attack_source": None, "seed": seed} for seed in range(3)])
    assert _sources(rows) == ""  # as of old rows
    rows["attack_source"] = "aaaabbbbccccdddd"
    assert _sources(rows) == "span_ica 4 `aaaabbbb`"
    rows.loc[2, "attack_source"] = "1111222233334444"
    assert _sources(rows) == "span_ica 4 `aaaabbbb` (seeds 0, 1) / `11112222` (seeds 2)"


def test_describe_writes_it():
    from bench.engine.plan import plan
    from bench.engine.rows import describe

    loaded = load("quick")
    cell = plan(loaded, {}, limit=1).cells[0]
    assert describe(cell, loaded.grid)["attack_source"] == source_of(cell.attack.cls)
