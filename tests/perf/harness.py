"""The harness itself: seeing that ten thousand cells are done, and reports, from the published table and from larger ones.

Each in a process of its own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.store import images_files, scores_files

from .child import ROOT, Done, call
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
    published: int = 3  # the published table, which has the size that it has; 0: left out


FULL = Size()
QUICK = Size(cells=500, rows=500, images_a_row=20, repeats=1, published=1)
TOY = Size(cells=20, rows=40, images_a_row=8, repeats=1, published=0)


def run(size: Size) -> Part:
    """Lines for planning, for the published table's pages, for the report from scores alone, and for the report with image rows."""
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
        published = list(_published(folder, home, size.published))
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
            *published,
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


CHANGED = "weight_decay"  # a grid of middling size


def _published(folder: Path, home: Path, repeats: int) -> Iterator[Line]:
    """The pages of the published table: all of them, those of one grid with another row, and none. Whole fresh processes."""
    if not repeats:
        return
    whole, one, none = [], [], []
    for number in range(repeats):
        mine = folder / f"published{number}"
        mine.mkdir()
        for path in (*scores_files(ROOT / "results"), *images_files(ROOT / "results")):
            target = mine / path.relative_to(ROOT / "results")
            target.parent.mkdir(exist_ok=True)
            shutil.copy(path, target)
        whole.append(call("chores", "render", home, folder=str(mine)))
        grids = call("chores", "change", home, folder=str(mine), grid=CHANGED).answer
        one.append(call("chores", "render", home, folder=str(mine)))
        none.append(call("chores", "render", home, folder=str(mine)))
    for name, what, found, pages, at_most in (
        ("published", f"pages of the published table, all {grids} grids", whole, grids + 2, 15.0),
        ("published-one", "those pages again after one grid has another row", one, 3, 3.0),
        ("published-none", "those pages again after nothing", none, 0, 1.0),
    ):
        yield Line(
            name,
            f"{what}, a whole fresh process",
            Samples(tuple(done.seconds for done in found), "call"),
            at_most=at_most,
            checks=(
                Check("pages made, more or fewer than changed", float(abs(found[0].answer["pages"] - pages)), 0.0),
                Check("pages that are missing", float(found[0].answer["missing"]), 0.0),
            ),
            note=_cost(found),
        )


def _cost(found: list[Done]) -> str:
    least, peak = min(done.answer["cpu"] for done in found), max(done.peak for done in found) / GIB
    return f"{least:.2f} s of processors, all processes together; peak of the first process {peak:.2f} GiB"
