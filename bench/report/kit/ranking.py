"""The table that ranks attacks and controls within each setting by the headline of their track."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bench.api import Headline, Section
from bench.report.kit.groups import Group, axis_names
from bench.report.kit.page import Page
from bench.report.kit.text import NONE, attack_name, escape, hits, interval, of_headline, seconds, table

_TIERS = {"final_weights": "weights"}


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    head: str
    cell: Callable[[Group], str]
    left: bool = False  # aligned left: words


SEEDS = Column("seeds", lambda group: str(group.ok))
TIME = Column("time", lambda group: seconds(group.means.get("seconds_attack")))


LEAD = Column("minus strongest control [95 %]", lambda group: interval(group.lead) if group.role == "attack" else "")


def headline_columns(headline: Headline) -> list[Column]:
    """What ranks a line, in bold where an attack is surely ahead of every control of its setting, paired by seed; and its lead."""

    def cell(group: Group) -> str:
        bold = "**" if group.surely > 0 and not group.flagged else ""
        return f"{bold}{of_headline(group)}{bold}"

    return [Column(f"{headline.words} [95 % CI]", cell), LEAD]


def hit_columns(headline: Headline) -> list[Column]:
    """The counts behind it."""
    both = (("members", headline.share), ("controls", headline.less))
    return [Column(share.label, lambda group, side=side: hits(group.hits.get(side))) for side, share in both if share and share.label]  # type: ignore[misc]


def ranking(groups: Sequence[Group], columns: Sequence[Column]) -> list[str]:
    """Attacks and controls, ranked within each axis value, in the order of the groups."""
    names = axis_names(groups) if any(group.axis for group in groups) else []
    head = [*(escape(name) for name in names), "#", "attack", "access", *(column.head for column in columns), "coverage"]
    rows, place, before = [], 0, None
    for group in groups:
        value = (group.axis_index, group.label)
        start = value != before
        place, before = 1 if start else place + 1, value
        rows.append(
            [
                *(escape(group.axis.get(name, "")) if start else "" for name in names),
                str(place) if group.excess and not group.flagged else NONE,
                attack_name(group),
                access(group.access),
                *(column.cell(group) for column in columns),
                coverage(group.counts),
            ]
        )
    first = len(names)
    return [*table(head, rows, right=[first, *(first + 3 + i for i, column in enumerate(columns) if not column.left)]), ""]


def access(text: str) -> str:
    """``final_weights+mean_image`` in words."""
    return escape(" + ".join(_TIERS.get(tier, tier).replace("_", " ") for tier in text.split("+"))) if text else NONE


def coverage(counts: Any, line: bool = True) -> str:
    """Cells with scores of all cells; in bold where some failed, or where a line's numbers come from part of its cells."""
    total, ok = sum(counts.values()), counts.get("ok", 0)
    rest = ", ".join(f"{counts[status]} {status}" for status in ("failed", "timeout", "skipped") if counts.get(status))
    if ok == total:
        return f"{ok}/{total} ok"
    alarming = counts.get("failed") or counts.get("timeout") or (line and ok)
    return f"**{ok}/{total} ok**, {rest}" if alarming else f"{ok}/{total} ok, {rest}"


class Ranking(Section):
    """The table of all lines of a part."""

    name: ClassVar[str] = "ranking"
    title: ClassVar[str] = "### Ranking"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return ranking(page.groups, self.columns(page.groups[0].headline))

    def columns(self, headline: Headline) -> Sequence[Column]:
        """What stands between the access and the coverage."""
        return [*headline_columns(headline), *hit_columns(headline), SEEDS, TIME]
