"""What the harness's processes do, without torch where the program does without it: its imports are part of the figures."""

from __future__ import annotations

import resource
import time
from itertools import pairwise
from pathlib import Path


def skip(grid: str) -> dict[str, float]:
    """Plans a grid whose cells are all stored, and runs what is left: nothing."""
    began = time.perf_counter()
    import torch

    from bench.engine import run as engine
    from bench.engine import stored
    from bench.engine.plan import plan
    from bench.grids.read import load

    marks = [began, time.perf_counter()]
    known = stored.known(stored.store())
    marks.append(time.perf_counter())
    planned = plan(load(grid), known)
    marks.append(time.perf_counter())
    summary = engine.run(planned, stored.store(), torch.device("cpu"))
    marks.append(time.perf_counter())
    spent = dict(zip(("imports", "known", "plan", "run"), (b - a for a, b in pairwise(marks)), strict=True))
    return {**spent, "cached": summary.cached}


def report(folder: str) -> dict[str, float]:
    """Renders a results folder afresh."""
    began = time.perf_counter()
    from bench.report import markdown, render  # noqa: F401 - what render would import on the way
    from bench.report.kit import figures  # noqa: F401 - what render would import on the way

    ready = time.perf_counter()
    written = render(folder)
    spent = time.perf_counter() - ready
    missing = sum(not path.is_file() for path in written) + (len(written) < 2)
    return {"imports": ready - began, "seconds": spent, "missing": missing}


def render(folder: str) -> dict[str, float]:
    """Brings a results folder up to date. Its seconds of the processor count those of the processes that it starts."""
    from bench.report import render

    pages: list[str] = []
    written = render(folder, only_if_changed=True, at_once=None, tell=lambda number, total, title: pages.append(title))
    spent = sum(use.ru_utime + use.ru_stime for use in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
    return {"cpu": spent, "pages": len(pages), "missing": sum(not path.is_file() for path in written) + (len(written) < 2)}


def change(folder: str, grid: str) -> int:
    """Gives a row of one grid another time, as a run on another day does; returns how many grids the folder has."""
    from bench.store import load_scores, publish

    scores = load_scores(folder)
    row = scores[scores["grid"] == grid].head(1)
    publish(row.assign(seconds_attack=row["seconds_attack"].fillna(0.0) + 1.0), [], Path(folder))
    return int(scores["grid"].nunique())
