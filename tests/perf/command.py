"""The first command that anyone runs, `python -m bench run --grid quick`, with nothing computed before: seconds of processor."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.metrics import lpips

from .child import ROOT
from .clock import Samples
from .line import Check, Line, Part


@dataclass(frozen=True)
class Size:
    """How many cells of the grid, and how often."""

    cells: int = 50
    smallest: bool = False  # tiny networks, trained for a moment
    repeats: int = 3


FULL = Size()
QUICK = Size(repeats=1)
TOY = Size(cells=3, smallest=True, repeats=1)
SMALLEST = ("--set", "n_per_class=4", "--set", "hidden=[20]", "--set", "epochs=50")


def run(size: Size) -> Part:
    """One line: seconds of processor of the command and of whatever it starts, pages included."""
    spent, wall, failed = [], [], 0
    for _ in range(size.repeats):
        with tempfile.TemporaryDirectory() as name:
            home = Path(name) / "home"
            if not lpips.unavailable():
                (home / "weights").mkdir(parents=True)
                shutil.copy(lpips.weights_path(), home / "weights")
            command = [sys.executable, "-m", "bench", "run", "--grid", "quick", "--limit", str(size.cells)]
            command += ["--json", "--device", "cpu", "--out", f"{name}/out", *(SMALLEST if size.smallest else ())]
            env = {**os.environ, "RECONBENCH_HOME": str(home), "RECONBENCH_STORE": str(home)}
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, encoding="utf-8")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            wall.append(time.perf_counter() - began)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            if done.returncode:
                raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-2000:]}")
            failed += size.cells - int(json.loads(done.stdout)["cells"]["ok"])
    return Part(
        (
            Line(
                "quick",
                f"`python -m bench run --grid quick`, {size.cells} cells and pages, nothing computed before: seconds of processor",
                Samples(tuple(spent), "command"),
                at_most=20.0,
                checks=(Check("cells that are not ok", float(failed), 0.0),),
                note=f"{min(wall):.0f} s by the clock at best; {lpips.unavailable() or 'LPIPS among the scores'}",
            ),
        )
    )
