"""A grid of a results folder: its score rows, the files of its image rows, and what is worked out of them once it is asked for."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench import tracks
from bench.claims.declarations import Declared
from bench.claims.findings import in_grid
from bench.claims.verdicts import Finding
from bench.grids.promised import promised
from bench.report.aggregate import aggregate
from bench.report.kit.flagged import fair
from bench.report.kit.groups import Group
from bench.report.kit.page import Page
from bench.report.unchanged import mark
from bench.schema import empty
from bench.store import load_images


@dataclass(frozen=True)
class Seen:
    """What of a grid other pages than its own need, and what tells whether its own is another."""

    mark: str
    groups: list[Group]
    findings: Mapping[int, Finding]  # of `in_grid`


@dataclass(eq=False)
class Grid:
    """What is worked out of it raises what reading its files raises, and what a track raises on its rows."""

    name: str
    slug: str  # file name of its page without ending
    rows: pd.DataFrame
    files: Sequence[Path]  # among others its image rows
    claims: Sequence[Declared]  # all that there are
    shown: bool = True  # its page is to be made

    @property
    def title(self) -> str:
        """As its rows say, or its name."""
        return _last(self.rows["grid_title"]) or self.name

    @functools.cached_property
    def images(self) -> pd.DataFrame:
        """Its image rows."""
        every = load_images(self.files)
        return every[every["cell_id"].isin(self.rows["cell_id"])]

    @functools.cached_property
    def mark(self) -> str:
        """Of `unchanged.mark`."""
        return mark(self.rows, self.images)

    @functools.cached_property
    def seen(self) -> Seen:
        """Its lines, and what comes of the claims, for which flagged attacks have no rows."""
        counted = fair(self.rows, lambda track: tracks.of_row(track).headline)
        return Seen(self.mark, aggregate(self.rows, self.images), in_grid(self.name, counted, self.images, self.claims))

    def page(self, groups: list[Group], images: pd.DataFrame | None = None) -> Page:
        """What its page is made of; without image rows what the leaderboard needs of it."""
        question = _last(self.rows["grid_question"])
        shown = empty("images") if images is None else images
        return Page(self.name, self.slug, self.title, question, self.rows, groups, {}, shown, promised(self.name))


def _last(values: pd.Series) -> str:
    """The last text of a column that is one, or nothing."""
    texts = [value for value in values if isinstance(value, str) and value]
    return texts[-1] if texts else ""
