"""The harness itself: seeing that ten thousand cells are done, and reports from large tables. Each in a process of its own."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from .child import call
from .clock import Samples
from .line import Check, Line, Part
from .synthetic import write_grid

GIB = 2**30


@dataclass(frozen=True)
class Size:
    """How many cells and rows."""

    cells: int = 10_000
    rows: int = 10_000
    images_a_row: int = 100
    repeats: int = 7  # in turn, so that a slow minute of the machine is not all that one line sees


FULL = Size()
QUICK = Size(cells=500, rows=500, images_a_row=20, repeats=1)
TOY = Size(cells=20, rows=40, images_a_row=8, repeats=1)


def run(size: Size) -> Part:
    """Lines for planning, for the report from scores alone, and for the report with image rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grid = str(write_grid(folder, size.cells))
        home = folder / "home"
        stored = call("synthetic", "fill_store", home, grid=grid).answer
        few, many = str(folder / "few"), str(folder / "many")
        call("synthetic", "write_results", home, folder=few, rows=size.rows, images_a_row=0)
        call("synthetic", "write_results", home, folder=many, rows=size.rows, images_a_row=size.images_a_row)
        skips, small, large = [], [], []
        for _ in range(size.repeats):
            skips.append(call("chores", "skip", home, grid=grid))
            small.append(call("chores", "report", home, folder=few))
            large.append(call("chores", "report", home, folder=many))
    split = skips[0].answer
    images = size.rows * size.images_a_row
    return Part(
        (
            Line(
                "plan",
                f"planning and skipping {size.cells} cached cells, a whole fresh process",
                Samples(tuple(s.seconds for s in skips), "call"),
                at_most=5.0,
                checks=(Check("cells that were not skipped", float(stored - split["cached"]), 0.0),),
                note=f"imports {split['imports']:.2f} s, rows of the store {split['known']:.2f} s, grid and keys {split['plan']:.2f} s, "
                f"run of nothing {split['run']:.2f} s; peak {skips[0].peak / GIB:.2f} GiB",
            ),
            Line(
                "report",
                f"report from {size.rows} score rows, without image rows",
                Samples(tuple(s.answer["seconds"] for s in small), "report"),
                at_most=5.0,
                checks=(Check("pages that are missing", float(small[0].answer["missing"]), 0.0),),
                note=f"imports {small[0].answer['imports']:.2f} s beside; peak {max(s.peak for s in small) / GIB:.2f} GiB",
            ),
            Line(
                "report-images",
                f"report from {size.rows} score rows and {images} image rows",
                Samples(tuple(s.answer["seconds"] for s in large), "report"),
                at_most=30.0,
                checks=(Check("pages that are missing", float(large[0].answer["missing"]), 0.0),),
                note="thumbnails in the cells that figures show",
            ),
            Line(
                "report-memory",
                "peak memory of that report",
                Samples(tuple(float(s.peak) for s in large), "report"),
                at_most=2 * GIB,
                unit="B",
            ),
        )
    )
