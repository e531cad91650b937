"""A system that is no POSIX one, as Windows: what only reads answers there, the rest is refused at the start, with the way out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_grid import write_grid

from bench import posix
from bench.errors import BenchError

ROOT = Path(posix.__file__).parent.parent

WINDOWS = """
import os, sys
sys.modules |= dict.fromkeys(("fcntl", "resource", "pwd", "grp", "termios"))
for name in ("killpg", "setpgid", "fork"):
    delattr(os, name)
from bench.cli import main
sys.exit(main(sys.argv[1:]))
"""


def elsewhere(*words: object) -> subprocess.CompletedProcess[str]:
    """A command where there is no POSIX."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", WINDOWS, *map(str, words)], capture_output=True, text=True, env=env, timeout=120)


@pytest.mark.parametrize("words", ["--help", "--version", "run --help", "ls", "info quick", "info haim_kkt"])
def test_what_only_reads_answers(words: str) -> None:
    done = elsewhere(*words.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_doctor_says_so() -> None:
    done = elsewhere("doctor")
    assert done.returncode == 0
    first = done.stdout.splitlines()[:2]
    assert first[0].startswith("missing  python")
    assert "without fcntl, resource, os.killpg, os.setpgid" in first[0]
    assert "WSL" in first[1]


@pytest.mark.parametrize("command", ["run", "run --dry-run", "report", "merge", "fetch"])
def test_the_rest_is_refused_at_the_start(command: str, tmp_path: Path) -> None:
    name, *options = command.split()
    more = {"run": ["--grid", write_grid(tmp_path), "--out", tmp_path / "out"], "merge": ["x", "--into", tmp_path], "fetch": ["lpips"]}
    done = elsewhere(name, *options, *more.get(name, []))
    assert done.returncode == 1
    assert done.stderr.startswith("reconbench runs on POSIX systems only\n")
    assert "Linux, macOS" in done.stderr
    assert "wsl --install" in done.stderr
    assert done.stdout == ""


def test_whoever_imports_the_engine_is_told_the_same() -> None:
    script = WINDOWS.partition("from bench")[0] + "import bench.engine.run"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert "bench.errors.BenchError: reconbench runs on POSIX systems only" in done.stderr


def test_here_is_one() -> None:
    assert posix.missing() == ""
    posix.check()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    with pytest.raises(BenchError) as caught:
        posix.check()
    assert caught.value.got == "a Python without resource"
