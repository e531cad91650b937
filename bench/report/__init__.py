"""Pages and pictures from the two Parquet tables, and from nothing else: rendering twice leaves no diff.

``render(results_dir)`` writes ``leaderboard.md``, ``<grid>.md`` for each grid, ``claims.md`` and ``figures/*.png``.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from bench.store import SCORES_FILE, atomic_write, images_files, load_results

FIGURES = "figures"
KINDS = (
    "excess",
    "transfer",
    "runs",
    "margin",
    "planted",
    "gallery",
    "strips",
    "query_distance",
    "gradient_norm",
    "whose_gradients",
)  # pictures of a grid
CLAIMS = "claims.md"
HEADLINE_GRID = "quick"  # its picture stands on the leaderboard and in the README


def render(results_dir: Path | str, *, only_if_changed: bool = False) -> list[Path]:
    """Regenerates every page and picture of a results folder; returns their paths, the leaderboard first.

    Pages and pictures of grids that are no longer in the tables are removed, if they were generated.

    Args:
        only_if_changed: return at once when the pages were made from these very tables by this very code.

    Raises:
        BenchError: a table is corrupt or of a newer version, or the folder cannot be written.
    """
    folder = Path(results_dir)
    stamp = _stamp(folder)
    if only_if_changed:
        done = _rendered(folder, stamp)
        if done:
            return done
    from bench.report import (
        claims,
        claims_page,
        declarations,
        figures,
        gallery,
        informed,
        margin,
        markdown,
        planted,
        probes,
        stealing,
        sweeps,
    )
    from bench.report.aggregate import aggregate

    scores, images = load_results(folder)
    groups = aggregate(scores)
    pages, pictures, texts = [], {}, {}
    slugs: dict[str, str] = {}
    for grid in sorted(scores["grid"].unique(), key=lambda name: (name != HEADLINE_GRID, name)):
        slug = slugs[grid] = _slug(grid, set(slugs.values()))
        rows = scores[scores["grid"] == grid]
        mine = [group for group in groups if group.grid == grid]
        title = _last(rows["grid_title"]) or grid
        own = images[images["cell_id"].isin(rows["cell_id"])]
        made = {
            "excess": figures.excess(mine, title),
            "transfer": stealing.figure(mine, title),
            "runs": sweeps.figure(mine, rows, title),
            "margin": margin.figure(mine, own, title),
            "planted": planted.figure(mine, own, title),
            "gallery": gallery.figure(rows, own, title),
            "strips": figures.strips(rows, own, title),
            **probes.figures(mine, own, title),
        }
        for kind, content in made.items():
            if content is not None:
                pictures[f"{FIGURES}/{slug}_{kind}.png"] = content
        shown = {kind: f"{FIGURES}/{slug}_{kind}.png" for kind, content in made.items() if content is not None}
        paired = rows.loc[rows["track"] == "informed", "cell_id"]
        members = informed.members(own[own["cell_id"].isin(paired)]) if len(paired) else {}
        page = markdown.Page(grid, slug, title, _last(rows["grid_question"]), rows, mine, shown, members, own)
        pages.append(page)
        texts[f"{slug}.md"] = markdown.grid_page(page)
    said, broken = declarations.declared()
    texts[CLAIMS] = claims_page.page(claims.findings(scores, images, said), broken)
    glance = figures.leaderboard(pages[0].groups) if pages else None
    if glance is not None:
        pictures[f"{FIGURES}/leaderboard.png"] = glance
    board = markdown.leaderboard(pages, f"{FIGURES}/leaderboard.png" if glance is not None else None)
    contents = {**pictures, **{name: text.encode() for name, text in texts.items()}}
    listing = "\n".join(["", f"<!-- tables and code: {stamp}", *sorted(contents), "-->", ""])
    contents["leaderboard.md"] = board.encode() + listing.encode()  # last, since it says that the rest is there
    for name, content in contents.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            atomic_write(path, content)
    _sweep(folder, set(contents))
    return [folder / "leaderboard.md", *(folder / name for name in sorted(contents) if name != "leaderboard.md")]


def _stamp(folder: Path) -> str:
    """Hash of the tables and of the code that renders them, the claims that attacks declare included."""
    from bench.report import declarations

    digest = hashlib.sha256()
    sources = sorted(Path(__file__).parent.glob("*.py"))
    for path in [folder / SCORES_FILE, *images_files(folder), *sources]:
        digest.update(path.read_bytes() if path.is_file() else b"\0")
    digest.update(declarations.fingerprint().encode())
    return digest.hexdigest()[:16]


def _rendered(folder: Path, stamp: str) -> list[Path]:
    """The files of the last rendering if they are all there and it had this stamp, else none."""
    board = folder / "leaderboard.md"
    try:
        text = board.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    found = re.search(rf"<!-- tables and code: {stamp}\n(.*?)-->\n\Z", text, flags=re.DOTALL)
    if found is None:
        return []
    paths = [folder / line for line in found[1].splitlines() if line]
    return [board, *paths] if all(path.is_file() for path in paths) else []


def _sweep(folder: Path, kept: set[str]) -> None:
    """Removes generated pages and pictures that this rendering did not make."""
    from bench.report.markdown import GENERATED

    for path in folder.glob("*.md"):
        if path.name not in kept and path.read_bytes().startswith(GENERATED.encode()):
            path.unlink()
    for kind in KINDS:
        for path in (folder / FIGURES).glob(f"*_{kind}.png"):
            if f"{FIGURES}/{path.name}" not in kept:
                path.unlink()


def _slug(grid: str, taken: set[str]) -> str:
    """A file name for a grid, whatever its name holds."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "_", grid)[:80] or "grid"
    while slug.lower() in {"leaderboard", "claims", "readme", *(name.lower() for name in taken)}:
        slug += "_grid"
    return slug


def _last(values: object) -> str:
    """The last text of a column that is one, or nothing."""
    texts = [value for value in values if isinstance(value, str) and value]  # type: ignore[attr-defined]
    return texts[-1] if texts else ""
