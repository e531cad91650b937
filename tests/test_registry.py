"""The folders of plug-ins: a file of the wrong kind is told where it belongs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import registry
from bench.errors import BenchError

METRIC = """
from bench.api import Metric
from bench.registry import register


@register
class Far(Metric):
    name = "far"
"""


def test_a_metric_in_the_folder_of_tracks_is_told_where_it_belongs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("astray/mine", "straight"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "astray" / "mine" / "__init__.py").write_text(METRIC, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "FOLDERS", {"track": tmp_path / "astray", "metric": tmp_path / "straight"})
    with pytest.raises(BenchError) as told:
        registry.get("track", "far")
    assert "registered as metric" in str(told.value)
    assert "straight/far.py; here a track alone" in str(told.value)
    sys.modules.pop("astray.mine", None)


def test_the_modules_of_a_folder_are_its_files_and_packages_by_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("b.py", "a/__init__.py", "a/inner.py", "_hidden.py", "README.md"):
        (tmp_path / name).write_text("")
    found = [path for path in registry._files(tmp_path) if path.is_file()]
    assert found == sorted([tmp_path / "a" / "__init__.py", tmp_path / "b.py"])
    assert registry._files(tmp_path / "gone") == []
