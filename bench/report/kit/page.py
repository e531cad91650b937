"""What a grid's page is made of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pandas as pd

from bench.report.kit.groups import Group
from bench.schema import empty


@dataclass(frozen=True)
class Page:
    """What the page of one grid is made of; or a part of it, whose groups are compared with each other and are of one track."""

    grid: str
    slug: str  # file name without ending
    title: str
    question: str
    rows: pd.DataFrame  # score rows of the grid
    groups: list[Group]  # in order
    figures: dict[str, str] = field(default_factory=dict)  # kind of picture → path relative to the results folder
    images: pd.DataFrame = field(default_factory=lambda: empty("images"))  # image rows of the grid
    promised: tuple[int, ...] = ()  # the seeds that the grid fixes in advance; empty: not known

    @property
    def parts(self) -> dict[str, list[Group]]:
        """The groups by section of the grid, in order."""
        result: dict[str, list[Group]] = {}
        for group in self.groups:
            result.setdefault(group.section, []).append(group)
        return result

    def of(self, groups: list[Group], figures: dict[str, str] | None = None) -> Page:
        """The same page with some of its groups, and some of its pictures."""
        return replace(self, groups=groups, figures=self.figures if figures is None else figures)
