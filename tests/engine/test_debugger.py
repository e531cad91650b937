"""``run --pdb``: the debugger stands in the attack's own frame, and the cell fails as it would without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_grid import write_grid, write_plugin

from bench.cli import main
from bench.engine import stored

ROOT = Path(__file__).resolve().parent.parent.parent
FALLS = """
import torch.nn.functional as F
clue = "the butler"
F.conv2d(release.mean_image, torch.zeros(1, 2, 3, 3))
""".strip()


def test_the_debugger_stands_where_the_attack_fell(tmp_path):
    plugin = write_plugin(tmp_path, "falls", FALLS)
    grid = write_grid(tmp_path, "mean_image, falls")
    words = ["run", "--grid", grid, "--plugin", plugin, "--seeds", "0", "--pdb", "--out", tmp_path / "out"]
    asked = "p 'it was ' + clue\np release.mean_image.shape\nq\np 'again ' + clue\n"  # the first cell is left by q, the second by the end
    done = subprocess.run(
        [sys.executable, "-m", "bench", *map(str, words)],
        input=asked, capture_output=True, text=True, timeout=280, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "'it was the butler'" in done.stdout
    assert "torch.Size([1, 25, 25])" in done.stdout
    assert "'again the butler'" in done.stdout
    assert "falls.py(" in done.stdout
    assert "q goes on with the next cell" in done.stderr
    rows = stored.store().rows().set_index("attack")
    assert set(rows.loc["falls", "status"]) == {"failed"}
    assert rows.loc["falls", "reason"].str.startswith("RuntimeError: Given groups=1").all()
    assert set(rows.loc["mean_image", "status"]) == {"ok"}


def test_an_error_inside_a_library_is_met_in_the_attack(tmp_path):
    """The innermost frame is the library's; the debugger goes up from there."""
    plugin = write_plugin(tmp_path, "deep", "import scipy.linalg\nmine = 41\nscipy.linalg.inv('no matrix')")
    words = ["run", "--grid", write_grid(tmp_path, "deep"), "--plugin", plugin, "--limit", "1", "--pdb", "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *map(str, words)],
        input="p mine + 1\n", capture_output=True, text=True, timeout=280, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "\n(Pdb) 42\n" in done.stdout, done.stdout


@pytest.mark.parametrize("more", [["-j", "2"], ["--timeout", "10s"], ["--json"]])
def test_the_debugger_wants_one_process_and_the_terminal(more, capsys):
    assert main(["run", "--grid", "quick", "--pdb", *more]) == 1
    err = capsys.readouterr().err
    assert "--pdb works in one process" in err
    assert "expected: -j 1, without --timeout and without --json" in err
