"""A section of a page."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal


class Section(ABC):
    """A section of a grid's page. Subclass it with literals; a track lists its own, others are registered and found like an attack.

    It is asked for its lines once for every part of the page, whose groups are of one track. Its pictures are drawn of all groups of the
    page that it is about, and stand in the first part where it has lines. ``page`` is a ``bench.report.kit.page.Page``.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    title: ClassVar[str] = ""  # its heading; empty: the lines bring their own, or need none
    tracks: ClassVar[frozenset[str]] = frozenset()  # of a registered one: what it is about; empty: any track
    place: ClassVar[Literal["top", "part", "end"]] = "part"  # in every part, or once: before the parts, or after them
    pictures: ClassVar[tuple[str, ...]] = ()  # kinds of its pictures: the ends of their file names

    def applies(self, page: Any) -> bool:
        """Whether it has anything to say or to draw; where that takes as long to find out as to say, it gives no lines instead."""
        return bool(page.groups)

    @abstractmethod
    def lines(self, page: Any) -> list[str]:
        """Markdown; none: the section is left out."""

    def figures(self, page: Any) -> dict[str, bytes | None]:
        """PNG by kind; None where there is nothing to draw."""
        return {}

    def meanings(self) -> dict[str, str]:
        """What the columns of its table mean, for the end of the page."""
        return {}
