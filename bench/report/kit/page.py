"""A grid's page, and the sections that it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar

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


class Section(ABC):
    """A section of a page. It is asked for its lines once for every part of the page that is of its track; its pictures are drawn of all
    groups of the page at once, and stand in the first part that has lines."""

    name: ClassVar[str]  # unlike that of any other section of the page
    title: ClassVar[str] = ""  # its heading, below that of the part; empty: the lines bring their own, or need none
    pictures: ClassVar[tuple[str, ...]] = ()  # kinds of its pictures: the ends of their file names
    once: ClassVar[bool] = False  # for all parts together, after them
    ranks: ClassVar[bool] = False  # its lines, without the heading, are what the leaderboard shows of a part

    def applies(self, page: Page) -> bool:
        """Whether it has anything to say or to draw; where that is as long to find out as to say, it gives no lines instead."""
        return bool(page.groups)

    @abstractmethod
    def lines(self, page: Page) -> list[str]:
        """Markdown; none: the section is left out."""

    def figures(self, page: Page) -> dict[str, bytes | None]:
        """PNG by kind; None where there is nothing to draw."""
        return {}

    def meanings(self) -> dict[str, str]:
        """Of a section that ranks: what its columns mean, for the end of the leaderboard."""
        return {}
