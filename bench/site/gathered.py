"""What the site is made of: the rows of a results folder, and what the report makes of them. Nothing is computed another way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench import report
from bench.claims import declarations, findings
from bench.claims.verdicts import Finding
from bench.report import board, markdown
from bench.report.board import Best
from bench.report.grid import Grid
from bench.report.kit.groups import Group
from bench.report.kit.page import Page
from bench.report.unchanged import last_rendering
from bench.report.verified import Standings
from bench.store.verified import Verified, load_verified


@dataclass(frozen=True)
class Gathered:
    """A results folder, read."""

    folder: Path
    scores: pd.DataFrame
    grids: Sequence[Grid]
    pages: Mapping[str, Page]  # by slug, without image rows
    boards: Mapping[str, Sequence[Best]]  # of each track its attacks, in the order of the leaderboard
    checked: Sequence[Verified]  # rows of the table of verified attacks
    found_out: Standings  # of attacks on networks whose members nobody could know
    claims: Sequence[Finding]
    broken: Sequence[str]  # claims that cannot be read
    current: Mapping[str, str]  # a grid's slug → hash of the rows that its Markdown page was made from
    kinds: Sequence[str]  # of pictures

    @property
    def groups(self) -> list[Group]:
        """The lines of all grids."""
        return [group for page in self.pages.values() for group in page.groups]

    def text(self, grid: Grid) -> str:
        """The Markdown of a grid's page: the one that is there if it is of these very rows, else made now."""
        path = self.folder / f"{grid.slug}.md"
        if self.current.get(grid.slug) == grid.mark and path.is_file():
            return path.read_text(encoding="utf-8")
        page = grid.page(list(self.pages[grid.slug].groups), grid.images)
        there = {kind: f"{report.FIGURES}/{grid.slug}_{kind}.png" for kind in self.kinds}
        page.figures.update({kind: name for kind, name in there.items() if (self.folder / name).is_file()})
        return markdown.grid_page(page)


def gather(folder: Path) -> Gathered:
    """Reads a results folder.

    Raises:
        BenchError: a table is corrupt, or of a newer version.
    """
    said, broken = declarations.declared()
    scores, grids = report.rows_and_grids(folder, said)
    pages = {grid.slug: grid.page(grid.seen.groups) for grid in grids}
    checked = load_verified(folder)
    boards, found_out = board.ordered(list(pages.values()), checked)
    found = findings.gathered(said, {grid.name: grid.seen.findings for grid in grids})
    return Gathered(
        folder, scores, grids, pages, boards, checked, found_out, found, broken, last_rendering(folder).marks, markdown.pictures()
    )
