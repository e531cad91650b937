"""Fresh numbers beside those published for the same cells: do they agree within their intervals? And the short table of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bench import tracks
from bench.api import Headline
from bench.metrics.intervals import Interval
from bench.report.aggregate import aggregate
from bench.report.kit.groups import Group, axis_of
from bench.report.kit.text import NONE
from bench.report.kit.transplants import FLAG
from bench.schema import SCORE_KEY

TOLERANCE = 1e-6  # rounding of the published columns


@dataclass(frozen=True)
class Disagreement:
    """One number of one cell that lies outside its published interval, or a cell that has scores on one side only."""

    grid: str
    cell_id: str
    what: str  # e.g. "lfw_faces · haim_kkt · seed 0"
    column: str
    fresh: str
    published: str

    def __str__(self) -> str:
        return f"{self.grid} {self.cell_id} ({self.what}): {self.column} {self.fresh}, published {self.published}"


@dataclass(frozen=True)
class Comparison:
    """What came of it. ``text`` is for the terminal."""

    compared: int  # cells on both sides of which at least one has scores
    agreeing: int
    new: int  # fresh cells that were not published before
    disagreements: list[Disagreement] = field(default_factory=list)

    @property
    def text(self) -> str:
        """One line, then one for each number that does not agree."""
        if not self.compared:
            return "no published numbers for these cells to compare with" + (f" ({self.new} new)" if self.new else "")
        line = f"{self.agreeing} of {self.compared} {_cells(self.compared)} {_agree(self.compared)} within their intervals"
        if self.new:
            line += f"; {self.new} {_cells(self.new)} had not been published before"
        return "\n".join([line, *(f"  {item}" for item in self.disagreements)])


def _cells(n: int) -> str:
    return "cell" if n == 1 else "cells"


def _agree(n: int) -> str:
    return "agrees" if n == 1 else "agree"


def compare(fresh: pd.DataFrame, published: pd.DataFrame) -> Comparison:
    """Compares cells by (grid, cell_id).

    A cell agrees when its fresh headline and the shares that it is made of lie within the published 95 % intervals (of that row), or equal
    the published number. Where a share has no published interval, only the headline is asked. Cells without scores on both sides are left
    out.
    """
    key = list(SCORE_KEY)
    before = {tuple(row[k] for k in key): row for row in _records(published)}
    compared = agreeing = new = 0
    found: list[Disagreement] = []
    for row in _records(fresh):
        old = before.get(tuple(row[k] for k in key))
        if old is None:
            new += 1
            continue
        if row["status"] != "ok" and old["status"] != "ok":
            continue
        compared += 1
        mine = _judge(row, old)
        found += mine
        agreeing += not mine
    return Comparison(compared, agreeing, new, found)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    compared = dict.fromkeys(name for track in tracks.names() for name in _compared(tracks.get(track).headline))
    ends = [f"{name}_{end}" for name in compared for end in ("lo", "hi")]
    names = [*SCORE_KEY, "track", "dataset", "axis", "attack", "seed", "status", "reason", *compared, *ends]
    part = frame.reindex(columns=names).astype("object")
    return part.where(part.notna(), None).to_dict("records")  # type: ignore[return-value]


def _compared(headline: Headline) -> list[str]:
    """The columns of which numbers are compared: the headline, and the shares that it is made of."""
    return [headline.column, *(share.column for share in (headline.share, headline.less) if share is not None)]


def _judge(row: dict[str, Any], old: dict[str, Any]) -> list[Disagreement]:
    what = " · ".join([*axis_of(row).values(), str(row["attack"]), f"seed {row['seed']}"])
    head = row["grid"], row["cell_id"], what
    if row["status"] != "ok" or old["status"] != "ok":
        return [
            Disagreement(
                *head, "status", f"{row['status']} {row['reason'] or ''}".strip(), f"{old['status']} {old['reason'] or ''}".strip()
            )
        ]
    result = []
    headline = tracks.of_row(row["track"]).headline
    for name in _compared(headline):
        value, was, low, high = row[name], old[name], old[f"{name}_lo"], old[f"{name}_hi"]
        if value is None and was is None:
            continue
        if value is None or was is None:
            result.append(Disagreement(*head, name, _number(value), _number(was)))
        elif low is not None and high is not None:
            if not min(low, was) - TOLERANCE <= value <= max(high, was) + TOLERANCE:
                result.append(Disagreement(*head, name, _number(value), f"{_number(was)} [{_number(low)}, {_number(high)}]"))
        elif name == headline.column and abs(value - was) > TOLERANCE:
            result.append(Disagreement(*head, name, _number(value), f"{_number(was)} (no interval)"))
    return result


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def summary_table(scores: pd.DataFrame, images: pd.DataFrame | None = None) -> list[dict[str, str]]:
    """Rows for the short table in the terminal, ranked within each setting: texts, under the headings of the columns. A column in which no
    line has anything is left out.

    Args:
        images: image rows, as of `aggregate`.
    """
    result = []
    for group in aggregate(scores, images):
        headline = group.headline
        left = ", ".join(f"{n} {status}" for status, n in sorted(group.counts.items()) if status != "ok")
        shares = ((headline.share, "members", group.members), (headline.less, "controls", group.controls))
        result.append(
            {
                "grid": group.grid,
                "setting": ", ".join(part for part in (group.label, group.section) if part),
                "attack": group.name + (" (control)" if group.role == "control" else f" ({FLAG})" if group.flagged else ""),
                f"{headline.words} [95 % CI]": _with_ends(group.excess),
                **{share.label: _share(group, side, mean) for share, side, mean in shares if share is not None and share.label},
                "cells": f"{group.ok}/{group.cells} ok" + (f", {left}" if left else ""),
            }
        )
    heads = list(dict.fromkeys(name for line in result for name in line))
    said = {name for line in result for name, text in line.items() if text != NONE}
    return [{name: line.get(name, NONE) for name in heads if name in said} for line in result]


def _with_ends(value: Interval | None) -> str:
    return f"{value.estimate:+.2f} [{value.low:+.2f}, {value.high:+.2f}]" if value else NONE


def _share(group: Group, side: str, mean: Interval | None) -> str:
    """Hits, or the share in per cent where the track tells it so."""
    if group.headline.per_cent:
        return NONE if mean is None else f"{100 * mean.estimate:.0f} %"
    found = group.hits.get(side)
    return f"{found[0]}/{found[1]}" if found else NONE
