"""Pages and pictures from the two Parquet tables, and from nothing else: rendering twice leaves no diff.

``render(results_dir)`` writes ``leaderboard.md``, ``<grid>.md`` for each grid, ``claims.md`` and ``figures/*.png``. A comment at the end of
the leaderboard says which rows all was made of, so that only the pages of grids with other rows are made again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.report import same_code
from bench.report.side_by_side import FIGURES, Fault, Made, make_all
from bench.report.unchanged import Rendering, last_rendering, mark, stamp
from bench.store import atomic_write, load_results

CLAIMS = "claims.md"
RESERVED = ("leaderboard", "claims", "readme", "anatomy")  # pages that are no grid's; nor are perf and perf_…
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
    if before.stamp == now and all((folder / name).is_file() for name in before.files):
        return [folder / "leaderboard.md", *(folder / name for name in before.files)]
    from bench.claims import declarations, findings
    from bench.report import board, claims_page, glance, markdown
    from bench.report.aggregate import aggregate
    from bench.report.kit.page import Page

    scores, images = load_results(folder)
    groups = aggregate(scores, images)
    pages: list[Page] = []
    contents: dict[str, bytes] = {}
    changed: list[Page] = []
    kept: list[str] = []  # files of an earlier rendering
    slugs: dict[str, str] = {}
    marks: dict[str, str] = {}
    kinds = markdown.pictures()

    def names_of(slug: str) -> set[str]:
        return {f"{slug}.md", *(f"{FIGURES}/{slug}_{kind}.png" for kind in kinds)}

    for grid in sorted(scores["grid"].unique(), key=lambda name: (name != HEADLINE_GRID, name)):
        slug = slugs[grid] = _slug(grid, set(slugs.values()))
        rows = scores[scores["grid"] == grid]
        mine = [group for group in groups if group.grid == grid]
        title = _last(rows["grid_title"]) or grid
        own = images[images["cell_id"].isin(rows["cell_id"])]
        pages.append(Page(grid, slug, title, _last(rows["grid_question"]), rows, mine, {}, own))
        marks[slug] = mark(rows, own)
        names = names_of(slug).intersection(before.files)
        if before.marks.get(slug) == marks[slug] and all((folder / name).is_file() for name in names):
            kept += names
        else:
            changed.append(pages[-1])

    def telling(number: int, title: str) -> None:
        if tell is not None:
            tell(number, len(changed) + 2, title)

    faults: dict[str, Fault] = {}
    for page, made in zip(changed, make_all(changed, telling, at_once), strict=True):
        if isinstance(made, Made):
            contents |= made.contents
        else:  # the page that is there stays, without a mark, so that the next rendering tries again
            faults[page.grid] = made
            del marks[page.slug]
            kept += [name for name in names_of(page.slug) if (folder / name).is_file()]
    telling(len(changed) + 1, "claims")
    said, broken = declarations.declared()
    contents[CLAIMS] = claims_page.page(findings.findings(scores, images, said), broken).encode()
    telling(len(changed) + 2, "leaderboard")
    board_picture = f"{FIGURES}/leaderboard.png"
    if pages and pages[0] not in changed and board_picture in before.files and (folder / board_picture).is_file():
        kept.append(board_picture)
    elif pages and (picture := glance.picture(pages[0].groups)) is not None:
        contents[board_picture] = picture
    text = board.page(pages, board_picture if board_picture in (*kept, *contents) else None)
    files = sorted([*contents, *kept])
    listing = Rendering("0" if faults else now, files, marks).comment()
    contents["leaderboard.md"] = text.encode() + listing.encode()  # last, since it says that the rest is there
    _write(folder, contents)
    _sweep(folder, {"leaderboard.md", *files}, kinds)
    if not faults and (ours or before == Rendering()):
        same_code.remember(folder, files)
    else:
        same_code.forget(folder)
    if faults:
        raise _not_made(faults)
    return [folder / "leaderboard.md", *(folder / name for name in files)]


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
    from bench.report.kit.text import GENERATED

    for path in folder.glob("*.md"):
        if path.name not in kept and path.read_bytes().startswith(GENERATED.encode()):
            path.unlink()
    for kind in kinds:
        for path in (folder / FIGURES).glob(f"*_{kind}.png"):
            if f"{FIGURES}/{path.name}" not in kept:
                path.unlink()


def _slug(grid: str, taken: set[str]) -> str:
    """A file name for a grid, whatever its name holds."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "_", grid)[:80] or "grid"
    if re.match(r"perf(_|\Z)", slug.lower()):
        slug = f"grid_{slug}"
    while slug.lower() in {*RESERVED, *(name.lower() for name in taken)}:
        slug += "_grid"
    return slug


def _last(values: object) -> str:
    """The last text of a column that is one, or nothing."""
    texts = [value for value in values if isinstance(value, str) and value]  # type: ignore[attr-defined]
    return texts[-1] if texts else ""
