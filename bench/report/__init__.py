"""Pages and pictures from the two Parquet tables, and from nothing else: rendering twice leaves no diff.

``render(results_dir)`` writes ``leaderboard.md``, ``<grid>.md`` for each grid, ``claims.md`` and ``figures/*.png``. A comment at the end of
the leaderboard says which rows all was made of, so that after a run only the pages of grids with other rows are made again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.report.unchanged import Rendering, last_rendering, mark, stamp
from bench.store import atomic_write, load_results

FIGURES = "figures"
CLAIMS = "claims.md"
RESERVED = ("leaderboard", "claims", "readme", "anatomy")  # pages that are no grid's; nor are perf and perf_…
HEADLINE_GRID = "quick"  # its picture stands on the leaderboard and in the README


def render(results_dir: Path | str, *, only_if_changed: bool = False, tell: Callable[[int, int, str], None] | None = None) -> list[Path]:
    """Regenerates every page and picture of a results folder; returns their paths, the leaderboard first.

    Pages and pictures of grids that are no longer in the tables are removed, if they were generated.

    Args:
        only_if_changed: leave what was made from these very rows: the pages and pictures of other grids, or all of them. Whichever code
            made them, and on whichever machine: another version of Matplotlib draws other bytes.
        tell: is called before each page is made: which one it is, of how many, and its title.

    Raises:
        BenchError: a table is corrupt or of a newer version, or the folder cannot be written.
    """
    folder = Path(results_dir)
    now = stamp(folder)
    before = last_rendering(folder) if only_if_changed else Rendering()
    if before.stamp == now and all((folder / name).is_file() for name in before.files):
        return [folder / "leaderboard.md", *(folder / name for name in before.files)]
    from bench.report import board, claims, claims_page, declarations, glance, markdown
    from bench.report.aggregate import aggregate
    from bench.report.kit.page import Page

    scores, images = load_results(folder)
    groups = aggregate(scores, images)
    pages, contents = [], {}
    changed: list[Page] = []
    kept: list[str] = []  # files of an earlier rendering
    slugs: dict[str, str] = {}
    marks: dict[str, str] = {}
    kinds = markdown.pictures()
    for grid in sorted(scores["grid"].unique(), key=lambda name: (name != HEADLINE_GRID, name)):
        slug = slugs[grid] = _slug(grid, set(slugs.values()))
        rows = scores[scores["grid"] == grid]
        mine = [group for group in groups if group.grid == grid]
        title = _last(rows["grid_title"]) or grid
        own = images[images["cell_id"].isin(rows["cell_id"])]
        pages.append(Page(grid, slug, title, _last(rows["grid_question"]), rows, mine, {}, own))
        marks[slug] = mark(rows, own)
        names = {f"{slug}.md", *(f"{FIGURES}/{slug}_{kind}.png" for kind in kinds)}.intersection(before.files)
        if before.marks.get(slug) == marks[slug] and all((folder / name).is_file() for name in names):
            kept += names
        else:
            changed.append(pages[-1])

    def telling(number: int, title: str) -> None:
        if tell is not None:
            tell(number, len(changed) + 2, title)

    for number, page in enumerate(changed, 1):
        telling(number, page.title)
        for kind, content in markdown.figures_of(page).items():
            if content is not None:
                page.figures[kind] = f"{FIGURES}/{page.slug}_{kind}.png"
                contents[page.figures[kind]] = content
        contents[f"{page.slug}.md"] = markdown.grid_page(page).encode()
    telling(len(changed) + 1, "claims")
    said, broken = declarations.declared()
    contents[CLAIMS] = claims_page.page(claims.findings(scores, images, said), broken).encode()
    telling(len(changed) + 2, "leaderboard")
    board_picture = f"{FIGURES}/leaderboard.png"
    if pages and pages[0] not in changed and board_picture in before.files and (folder / board_picture).is_file():
        kept.append(board_picture)
    elif pages and (picture := glance.picture(pages[0].groups)) is not None:
        contents[board_picture] = picture
    text = board.page(pages, board_picture if board_picture in (*kept, *contents) else None)
    files = sorted([*contents, *kept])
    listing = Rendering(now, files, marks).comment()
    contents["leaderboard.md"] = text.encode() + listing.encode()  # last, since it says that the rest is there
    for name, content in contents.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            atomic_write(path, content)
    _sweep(folder, {"leaderboard.md", *files}, kinds)
    return [folder / "leaderboard.md", *(folder / name for name in files)]


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
