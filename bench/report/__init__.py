"""Pages and pictures from the two Parquet tables, and from nothing else: rendering twice leaves no diff.

``render(results_dir)`` writes ``leaderboard.md``, ``<grid>.md`` for each grid, ``claims.md`` and ``figures/*.png``. A comment at the end of
the leaderboard says which rows all was made of, so that only the pages of grids with other rows are made again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.report import same_code
from bench.report.side_by_side import FIGURES, Fault, Made, make_all
from bench.report.unchanged import Rendering, last_rendering, stamp
from bench.store import atomic_write, cells_of
from bench.store.submissions import index, submissions, with_others
from bench.store.verified import load_verified

if TYPE_CHECKING:
    import pandas as pd

    from bench.claims.declarations import Declared
    from bench.report.grid import Grid

CLAIMS = "claims.md"
RESERVED = ("leaderboard", "claims", "readme", "anatomy", "ridge", "gpu")  # pages that are no grid's; nor are perf and perf_…
HEADLINE_GRID = "quick"  # its picture stands on the leaderboard and in the README


def render(
    results_dir: Path | str,
    *,
    only_if_changed: bool = False,
    tell: Callable[[int, int, str], None] | None = None,
    at_once: int | None = 1,
) -> list[Path]:
    """Regenerates every page and picture of a results folder; returns their paths, the leaderboard first.

    Pages and pictures of grids that are no longer in the tables are removed, if they were generated.

    Args:
        only_if_changed: leave what was made from these very rows: the pages and pictures of other grids, or all of them. Whichever code
            made them, and on whichever machine: another version of Matplotlib draws other bytes. Without it only what this very code
            made here is left (``bench.report.same_code``).
        tell: is called before each page is made: which one it is, of how many, and its title.
        at_once: processes that make the pages of grids; None: by the number of pages and processors, for a program that may be imported
            once more by each of them. The files are the same.

    Raises:
        BenchError: a table is corrupt or of a newer version, or the folder cannot be written; or a page could not be made, and then those
            of the other grids are written all the same.
    """
    folder = Path(results_dir)
    now = stamp(folder)
    before = last_rendering(folder)
    ours = same_code.holds(folder, before.files)
    if not (only_if_changed or ours):
        before = Rendering()
    if before.stamp == now and _are_there(folder, before.files):
        return [folder / "leaderboard.md", *(folder / name for name in before.files)]
    from bench.claims import declarations, findings
    from bench.report import board, claims_page, glance, markdown, recalled

    said, broken = declarations.declared()
    kinds = markdown.pictures()
    others = submissions(folder)
    scores, files_of_images = with_others(folder, others)
    grids = list(_grids(scores, files_of_images, said))
    keys = recalled.keys(scores, grids)
    seen = {grid.slug: known for grid in grids if (known := recalled.recall(folder, grid, keys[grid.slug])) is not None}
    files = {grid.slug: {f"{grid.slug}.md", *(f"{FIGURES}/{grid.slug}_{kind}.png" for kind in kinds)} for grid in grids}
    contents: dict[str, bytes] = {}
    kept: list[str] = []  # files of an earlier rendering
    for grid in grids:
        there, mark = files[grid.slug].intersection(before.files), before.marks.get(grid.slug)
        if mark and _are_there(folder, there) and mark == (seen[grid.slug].mark if grid.slug in seen else grid.mark):
            grid.shown = False
            kept += there
    picture = f"{FIGURES}/leaderboard.png"
    first = grids[0] if grids else None
    if first is not None and not first.shown and picture in before.files and _are_there(folder, [picture]):
        kept.append(picture)
    todo = [grid for grid in grids if grid.shown or grid.slug not in seen or (grid is first and picture not in kept)]
    pages = sum(grid.shown for grid in todo)

    def telling(number: int, title: str) -> None:
        if tell is not None:
            tell(number, pages + 2, title)

    faults: dict[str, Fault] = {}
    for grid, made in zip(todo, make_all(todo, telling, at_once), strict=True):
        seen[grid.slug] = made.seen or grid.seen  # which says why a process could not
        recalled.keep(folder, grid, keys[grid.slug], seen[grid.slug])
        if isinstance(made, Made):
            contents |= made.contents
        elif grid.shown:  # the page that is there stays, without a mark, so that the next rendering tries again
            faults[grid.slug] = made
            kept += [name for name in files[grid.slug] if (folder / name).is_file()]
    telling(pages + 1, "claims")
    found = findings.gathered(said, {grid.name: seen[grid.slug].findings for grid in grids})
    contents[CLAIMS] = claims_page.page(found, broken).encode()
    telling(pages + 2, "leaderboard")
    if first is not None and picture not in kept and (drawn := glance.picture(seen[first.slug].groups)) is not None:
        contents[picture] = drawn
    shown = picture if picture in (*kept, *contents) else None
    text = board.page([grid.page(seen[grid.slug].groups) for grid in grids], shown, load_verified(folder), index(others))
    names = sorted([*contents, *kept])
    marks = {grid.slug: seen[grid.slug].mark for grid in grids if grid.slug not in faults}
    listing = Rendering("0" if faults else now, names, marks).comment()
    contents["leaderboard.md"] = text.encode() + listing.encode()  # last, since it says that the rest is there
    _write(folder, contents)
    _sweep(folder, {"leaderboard.md", *names}, kinds)
    if not faults and (ours or before == Rendering()):
        same_code.remember(folder, names)
    else:
        same_code.forget(folder)
    if faults:
        raise _not_made({grid.name: faults[grid.slug] for grid in grids if grid.slug in faults})
    return [folder / "leaderboard.md", *(folder / name for name in names)]


def _grids(scores: pd.DataFrame, images: Sequence[Path], claims: Sequence[Declared]) -> Iterator[Grid]:
    """The grids of these rows, in the order of the leaderboard, to be shown.

    Args:
        images: the files of image rows.
    """
    from bench.report.grid import Grid

    held = {path: cells_of(path) for path in images}
    taken: set[str] = set()
    for name in sorted(scores["grid"].unique(), key=lambda name: (name != HEADLINE_GRID, name)):
        slug = _slug(name, taken)
        taken.add(slug)
        rows = scores[scores["grid"] == name]
        mine = set(rows["cell_id"])
        yield Grid(name, slug, rows, [path for path, cells in held.items() if not cells.isdisjoint(mine)], claims)


def rows_and_grids(folder: Path, claims: Sequence[Declared]) -> tuple[pd.DataFrame, list[Grid]]:
    """The score rows of a results folder and of its submissions, and its grids in the order of the leaderboard, for other pages."""
    scores, files_of_images = with_others(folder)
    return scores, list(_grids(scores, files_of_images, claims))


def _are_there(folder: Path, names: Iterable[str]) -> bool:
    return all((folder / name).is_file() for name in names)


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """The files whose content is another."""
    for name, content in contents.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            atomic_write(path, content)


def _not_made(faults: Mapping[str, Fault]) -> BenchError:
    names = ", ".join(f"'{grid}'" for grid in faults)
    error = BenchError(
        f"the page of grid {names} could not be made" if len(faults) == 1 else f"the pages of grids {names} could not be made",
        expected="rows that the sections of their track can show",
        got="; ".join(dict.fromkeys(fault.what for fault in faults.values())),
        hint="the same command with --debug shows where; the pages of other grids are written",
    )
    error.__cause__ = RuntimeError("\n".join(fault.trace for fault in faults.values()))
    return error


def _sweep(folder: Path, kept: set[str], kinds: Sequence[str]) -> None:
    """Removes generated pages and pictures that this rendering did not make."""
    from bench.report.kit.text import GENERATED, GENERATED_BEFORE

    for path in folder.glob("*.md"):
        if path.name not in kept and path.is_file() and path.read_bytes().startswith((GENERATED.encode(), GENERATED_BEFORE.encode())):
            path.unlink()
    for kind in kinds:
        for path in (folder / FIGURES).glob(f"*_{kind}.png"):
            if f"{FIGURES}/{path.name}" not in kept and not path.is_dir():
                path.unlink()


def _slug(grid: str, taken: set[str]) -> str:
    """A file name for a grid, whatever its name holds."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "_", grid)[:80] or "grid"
    if re.match(r"perf(_|\Z)", slug.lower()):
        slug = f"grid_{slug}"
    while slug.lower() in {*RESERVED, *(name.lower() for name in taken)}:
        slug += "_grid"
    return slug
