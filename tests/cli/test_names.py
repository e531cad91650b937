"""Other packages called bench, attacks or defenses: told of, or without effect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "import sys, reconbench\nsys.exit(reconbench.main())"  # what an installed console script does


def python(folder: Path, path: str, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def other(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("raise SystemExit('the other one')\n")
    return folder / name


@pytest.mark.parametrize("name", ["attacks", "defenses"])
def test_another_package_that_stands_before_ours_is_told_of(tmp_path, name):
    place = other(tmp_path, name)
    done = python(tmp_path, str(ROOT), "-m", "bench", "ls")  # python -m looks into the current folder first
    assert done.returncode == 1
    assert f"another '{name}' before this project's" in done.stderr
    assert str(place) in done.stderr
    assert "reconbench" in done.stderr


@pytest.mark.parametrize("path", [f":{ROOT}", f".:{ROOT}", str(ROOT)])
def test_the_console_script_is_immune_to_the_current_folder(tmp_path, path):
    for name in ("bench", "attacks", "defenses"):
        other(tmp_path, name)
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "reconbench-script").write_text(SCRIPT)
    done = python(tmp_path, path, "script/reconbench-script", "info", "mean_image")
    assert done.returncode == 0, done.stderr
    assert "mean_image" in done.stdout


def test_in_a_clone_nothing_is_told():
    assert python(ROOT, "", "-m", "bench", "info", "mean_image").returncode == 0


def test_the_console_script_is_that_one():
    assert 'reconbench = "reconbench:main"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
