"""Owners of watermarked networks beside each other: what changes if one of them plants, trains or boosts otherwise, and what it costs.

The first owner of an architecture on the page is what the others of it are compared with, paired by seed: owners of one seed have the same
images, and thieves of one seed ask about the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from bench.report import correlation
from bench.report.aggregate import Group, axis_names, in_words
from bench.report.probes import plain, settings_of
from bench.report.text import NONE, escape, table

ARCHITECTURE = ("model", "channels", "kernel", "pooling", "hidden")  # fields of a setting
Cells = Mapping[str, Mapping[str, float]]  # cell → its numbers


def section(groups: Sequence[Group], rows: pd.DataFrame) -> list[str]:
    """The lines of a page for the groups of one section; none where no two owners have one architecture.

    Args:
        rows: score rows of the grid.
    """
    numbers: Cells = rows.drop_duplicates("cell_id").set_index("cell_id")[["transfer_excess", "test_accuracy"]].to_dict("index")
    names = axis_names(groups)
    first: dict[tuple[object, ...], dict[str, Group]] = {}
    found = []
    for mine in settings_of(groups).values():
        lines = plain(mine)
        other = first.setdefault(tuple(mine[0].setting.get(name) for name in ARCHITECTURE), lines)
        if other is not lines and lines and other:
            against = escape(in_words(next(iter(other.values())).axis, names))
            found.append([*_labels(mine[0], names), against, *_compared(lines, other, numbers)])
    if not found:
        return []
    own = [escape(name) for name in names]
    head = [*own, "compared with", *(f"by {word} [95 % CI]" for word in KINDS), "test accuracy, points [95 % CI]", "seeds"]
    return [
        "### Owners compared",
        "",
        "Each owner less the first one of the same architecture, paired by seed, with Student's t interval over the seeds: planted",
        "labels that come along beyond those of clean networks, by what the thief is told, and the owner's own accuracy.",
        "",
        *table(head, found, right=range(len(own) + 1, len(head))),
        "",
    ]


KINDS = ("labels", "logits", "gradients")  # of answers, as `plain` names them


def _labels(group: Group, names: Sequence[str]) -> list[str]:
    return [escape(group.axis.get(name, "")) for name in names]


def _compared(lines: Mapping[str, Group], first: Mapping[str, Group], numbers: Cells) -> list[str]:
    both = [word for word in KINDS if word in lines and word in first]
    cells = [_differences(lines[word], first[word], numbers, "transfer_excess") if word in both else None for word in KINDS]
    shares = [NONE if one is None else correlation.shown(one) for one in cells]
    cost = [100 * points for points in _differences(lines[both[0]], first[both[0]], numbers, "test_accuracy")] if both else []
    return [*shares, correlation.shown(cost, bounds=100.0), str(len(cost))]


def _differences(a: Group, b: Group, numbers: Cells, column: str) -> list[float]:
    """The one line less the other, seed by seed."""
    both = sorted(set(a.cell_ids) & set(b.cell_ids))
    return [float(numbers[a.cell_ids[seed]][column] - numbers[b.cell_ids[seed]][column]) for seed in both]
