"""Owners of watermarked networks beside each other: what changes if one of them plants, trains or boosts otherwise, and what it costs.

The first owner of an architecture and a data set on the page is what the others of both are compared with, paired by seed: owners of one
seed have the same images, and thieves of one seed ask about the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import pandas as pd

from bench.api import Section
from bench.report.kit import correlation
from bench.report.kit.groups import Group, axis_names, in_words
from bench.report.kit.page import Page
from bench.report.kit.text import NONE, axis_labels, escape, table
from bench.tracks.stealing.page.probes import TOLD, paired, plain, settings_of

ALIKE = ("dataset", "classes", "model", "channels", "kernel", "pooling", "hidden")  # of a setting: what owners share who are compared
KINDS = tuple(TOLD.values())  # of answers, by which a thief learns
Numbers = Mapping[str, Mapping[str, float]]  # column → cell → number


def section(groups: Sequence[Group], rows: pd.DataFrame) -> list[str]:
    """The lines of a page for the groups of one section; none where no two owners share architecture and data.

    Args:
        rows: score rows of the grid.
    """
    numbers: Numbers = rows.drop_duplicates("cell_id").set_index("cell_id")[["transfer_excess", "test_accuracy"]].to_dict()
    names = axis_names(groups)
    first: dict[tuple[object, ...], dict[str, Group]] = {}
    found = []
    for mine in settings_of(groups).values():
        lines = plain(mine)
        if not lines:
            continue
        other = first.setdefault(tuple(mine[0].setting.get(name) for name in ALIKE), lines)
        if other is not lines:
            against = escape(in_words(next(iter(other.values())).axis, names))
            found.append([*axis_labels(mine[0], names), against, *_compared(lines, other, numbers)])
    if not found:
        return []
    own = [escape(name) for name in names]
    head = [*own, "compared with", *(f"by {word} [95 % CI]" for word in KINDS), "test accuracy, points [95 % CI]", "seeds"]
    return [
        "### Owners compared",
        "",
        "Each owner less the first one of the same architecture on the same data, paired by seed, with Student's t interval over the",
        "seeds: planted labels that come along beyond those of clean networks, by what the thief is told, and the owner's own accuracy.",
        "",
        *table(head, found, right=range(len(own) + 1, len(head))),
        "",
    ]


def _compared(lines: Mapping[str, Group], first: Mapping[str, Group], numbers: Numbers) -> list[str]:
    both = [word for word in KINDS if word in lines and word in first]
    shares = [correlation.shown(paired(lines[w], first[w], numbers["transfer_excess"])) if w in both else NONE for w in KINDS]
    cost = [100 * share for share in paired(lines[both[0]], first[both[0]], numbers["test_accuracy"])] if both else []
    return [*shares, correlation.shown(cost, bounds=100.0), str(len(cost))]


class Owners(Section):
    """See the module."""

    name: ClassVar[str] = "owners"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return section(page.groups, page.rows)
