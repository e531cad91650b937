"""What the harness's processes do, without torch where the program does without it: its imports are part of the figures."""

from __future__ import annotations

import time
from itertools import pairwise


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
