"""What is compared, and the headline by setting and attack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.api import Section
from bench.report.kit.groups import Group, axis_names
from bench.report.kit.page import Page
from bench.report.kit.ranking import coverage
from bench.report.kit.settings import compared
from bench.report.kit.text import NONE, axis_heads, axis_labels, escape, hits, of_headline, table


class Matrix(Section):
    """Axis values by attacks."""

    name: ClassVar[str] = "matrix"
    title: ClassVar[str] = "### By setting"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return [f"*Compared:* {compared(page.groups)}.", "", *_matrix(page.groups)]


def _matrix(groups: Sequence[Group]) -> list[str]:
    names = axis_names(groups)
    attacks = list(dict.fromkeys((group.name, group.role) for group in sorted(groups, key=lambda g: (g.role, g.name))))
    cells: dict[tuple[int, str], dict[str, Group]] = {}
    for group in groups:
        cells.setdefault((group.axis_index, group.label), {})[group.name] = group
    rows = []
    for mine in cells.values():
        one = next(iter(mine.values()))
        row = axis_labels(one, names)
        rows.append([*row, *(_matrix_cell(mine.get(name)) for name, _ in attacks)])
    heads = [f"*{escape(name)}* (control)" if role == "control" else escape(name) for name, role in attacks]
    head = axis_heads(names)
    headline = groups[0].headline
    a, b, hit = headline.counted
    below = f"below it {f'{a} : {b} {hit}'.strip()}, " if any(group.hits for group in groups) else ""
    note = f"{headline.words[0].upper()}{headline.words[1:]} [95 % CI]; {below}over all seeds."
    return [note, "", *table([*head, *heads], rows), ""]


def _matrix_cell(group: Group | None) -> str:
    if group is None:
        return NONE
    if group.excess is None:
        return coverage(group.counts)
    text = of_headline(group)
    if group.hits:
        text += f"<br>{hits(group.hits.get('members'))} : {hits(group.hits.get('controls'))}"
    return text if group.ok == group.cells else f"{text}<br>{coverage(group.counts)}"
