"""A store of ten thousand rows: how long its site takes, in seconds of processor, and how large it is."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.perf.synthetic import write_results

ROOT = Path(__file__).resolve().parents[2]
ROWS = 10_000
SECONDS = 20.0  # of processor, the start of Python and of PyTorch included; those of the wall depend on who else works
BYTES = 10_000_000


def test_ten_thousand_rows(tmp_path, capsys):
    pytest.importorskip("itables")
    pytest.importorskip("vl_convert")
    write_results(str(tmp_path / "results"), ROWS, 20)
    command = [sys.executable, "-m", "bench", "site", "--results", str(tmp_path / "results"), "--out", str(tmp_path / "site")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, timeout=280)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size = sum(path.stat().st_size for path in (tmp_path / "site").rglob("*") if path.is_file())
    with capsys.disabled():
        print(f"\nsite of {ROWS} rows: {spent:.1f} s of processor, {size / 1e6:.1f} MB")
    assert size <= BYTES
    assert spent <= SECONDS
