"""Worker processes, also on Ray: what a cell costs besides its own work, and whether memory grows with the number of cells."""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .child import call
from .clock import Samples
from .line import Check, Line, Part

MIB = 2**20
JOBS = 2

GRID = """
name: perf_workers
title: Trivial cells
question: What does a cell cost besides its own work?
base: {{dataset: lfw_faces, n_per_class: 1, hidden: [4], epochs: 1, stop_loss: 0}}
axes:
  weight_decay: [0, 0.0003, 0.001, 0.003, 0.01]
seeds: {seeds}
attacks: [mean_image]
"""


@dataclass(frozen=True)
class Size:
    """How many cells, multiples of ten."""

    cells: int = 10_000
    ray: int = 1_000


FULL = Size()
QUICK = Size(500, 200)
TOY = Size(20, 10)


def run(size: Size) -> Part:
    """Lines for the time that a cell costs, here and on Ray, and for the memory that so many cells leave behind."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "perf_workers.yaml"
        path.write_text(GRID.format(seeds=size.cells // 5), encoding="utf-8")
        found = call("workers", "trivial", Path(name) / "home", grid=str(path)).answer
    busy = found["work"] / found["cells"]
    return Part(
        (
            Line(
                "workers",
                f"{size.cells} trivial cells in {JOBS} worker processes, wall clock beside training, attack and score, a cell",
                Samples((found["overhead"] / found["cells"],), "cell"),
                at_most=0.02,
                checks=(Check("cells that are not there", float(size.cells - found["ok"]), 0.0),),
                note=f"wall clock {found['seconds'] / found['cells'] * 1e3:.1f} ms a cell, of which {busy / JOBS * 1e3:.1f} ms are work; "
                f"workers ready after {found['start']:.1f} s",
            ),
            Line(
                "workers-memory",
                f"memory that the main process gains from a tenth to the end of {size.cells} cells",
                Samples((max(0.0, float(found["grown"])),), "run"),
                at_most=64 * MIB,
                unit="B",
                note=f"resident {found['tenth']:.0f} MiB after a tenth, {found['half']:.0f} after half, {found['end']:.0f} at the end; "
                f"the worker's peak rises by {found['worker_grown']:.0f} MiB over the same cells",
            ),
            on_ray(size.ray),
        )
    )


def on_ray(cells: int) -> Line:
    """The same on a Ray cluster of this machine alone, beside one process that does without."""
    what = f"{cells} trivial cells in {JOBS} workers on Ray, wall clock beside training, attack and score, a cell"
    if importlib.util.find_spec("ray") is None:
        return Line("workers-ray", what, None, at_most=0.05, note="Ray is not installed: pip install 'reconbench[ray]'")
    found: dict[str, dict[str, float]] = {}
    for executor in ("ray", "none"):
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "perf_workers.yaml"
            path.write_text(GRID.format(seeds=cells // 5), encoding="utf-8")
            found[executor] = call("workers", "trivial", Path(name) / "home", grid=str(path), executor=executor).answer
    ours, alone = found["ray"], found["none"]
    return Line(
        "workers-ray",
        what,
        Samples((ours["overhead"] / cells,), "cell"),
        at_most=0.05,
        checks=(Check("cells that are not there", 2.0 * cells - ours["ok"] - alone["ok"], 0.0),),
        note=f"{cells / ours['seconds']:.1f} cells a second, one process {cells / alone['seconds']:.1f}; "
        f"wall clock {ours['seconds'] / cells * 1e3:.1f} ms a cell, of which {ours['work'] / cells / JOBS * 1e3:.1f} ms are work; "
        f"cluster and workers ready after {ours['start']:.1f} s",
    )


def trivial(grid: str, executor: str = "processes") -> dict[str, float]:
    """Runs the grid: seconds, what of them the rows call work, and the memory at a tenth and at the end.

    Args:
        executor: processes, ray (``JOBS`` workers either way) or none: all in this process.
    """
    import torch

    from bench.engine import run as engine
    from bench.engine import stored
    from bench.engine.plan import plan
    from bench.engine.progress import Silent
    from bench.grids.read import load

    planned = plan(load(grid), {})

    class Watch(Silent):
        done, first, early, middle = 0, 0.0, 0, 0

        def stage(self, text: str) -> None:
            self.first = self.first or time.monotonic()

        def finished(self, name: str, status: str, reason: str) -> None:
            self.done += 1
            if self.done == max(1, len(planned.cells) // 10):
                self.early = resident()
            if self.done == max(1, len(planned.cells) // 2):
                self.middle = resident()

    watch, began = Watch(), time.monotonic()
    cluster = None
    if executor == "ray":
        from bench.engine.executors.cluster import Cluster

        cluster = Cluster("local", device="cpu")
    jobs = 1 if executor == "none" else JOBS
    summary = engine.run(planned, stored.store(), torch.device("cpu"), watch, jobs=jobs, cluster=cluster)
    spent = time.monotonic() - watch.first
    end = resident()
    rows = stored.store().rows().sort_values("finished_at")
    work = float(rows[["seconds_attack", "seconds_score"]].sum().sum() + rows.drop_duplicates("target_id")["seconds_train"].sum())
    peaks = rows["peak_memory_mb"]
    return {
        "cells": len(planned.cells),
        "ok": summary.ok,
        "start": watch.first - began,
        "seconds": spent,
        "work": work,
        "overhead": spent - work / jobs,
        "grown": end - watch.early,
        "tenth": watch.early / MIB,
        "half": watch.middle / MIB,
        "end": end / MIB,
        "worker_grown": float(peaks.iloc[-1] - peaks.iloc[len(peaks) // 10]),
    }


def resident() -> int:
    """Bytes of this process in memory now; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
