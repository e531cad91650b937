"""What could be found at all: the share of each image that the attacked span holds, beside what was found.

The numbers are the judge's (``bench.tracks.reconstruction.findable``): an attacker knows neither his span's noise nor who is on where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from bench.api import Section
from bench.report.kit import correlation, rows
from bench.report.kit.groups import Group, axis_names
from bench.report.kit.page import Page
from bench.report.kit.text import NONE, attack_name, axis_heads, axis_labels, escape, hits, number, table

THRESHOLD = 0.4  # SSIM above which an image counts as rebuilt, as in the score protocol
INSIDE = 0.9  # share of the energy from which on an image counts as one that could be found


@dataclass(frozen=True)
class Side:
    """The members of one cell, or its controls."""

    share: np.ndarray  # of each image's energy inside the span
    ssim: np.ndarray  # 0 for a miss

    def found(self, inside: bool) -> tuple[int, int]:
        """Images above the threshold, of how many, among those that lie inside or among the others."""
        hit = self.ssim[(self.share >= INSIDE) == inside] > THRESHOLD
        return int(hit.sum()), len(hit)


Cells = dict[int, tuple[Side, Side]]  # seed → members, controls


def cells(group: Group, parts: rows.Sides) -> Cells:
    """Of each seed whose image rows tell, both sides."""
    found = {}
    for seed, cell in sorted(group.cell_ids.items()):
        if cell in parts and len(parts[cell][0]["ssim"]):
            found[seed] = _side(parts[cell][0]), _side(parts[cell][1])
    return found


def _side(part: rows.Side) -> Side:
    # rounded as the table rounds them: a single 0.4 is a little more than 0.4
    share, ssim = (np.nan_to_num(part[name]).round(4) for name in ("span_share", "ssim"))
    return Side(share, ssim)


_HEAD = (
    "attack", "share inside, members : controls", "members with ≥ 0.9 inside", "of these found", "of the others found", "SSIM and share",
    "directions / images", "members that share a pattern", "patterns of units", "seeds",
)  # fmt: skip
_TOLD = (
    "span_reason", "target_id", "span_rank", "shared_patterns", "unit_patterns", "n_members", "n_controls", "pattern_oracle_members",
    "pattern_oracle_controls",
)  # fmt: skip


class Findable(Section):
    """See the module."""

    name: ClassVar[str] = "findable"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        told = page.rows.loc[page.rows["span_reason"].notna(), ["cell_id", *_TOLD]].set_index("cell_id")
        told = told[~told.index.duplicated()]
        mine = [group for group in page.groups if group.role == "attack" and any(cell in told.index for cell in group.cell_ids.values())]
        if not mine:
            return []
        names = axis_names(page.groups)
        head = axis_heads(names)
        parts = rows.by_cell(page.images, ("span_share", "ssim"), known="span_share")
        return [
            "### What could be found at all",
            "",
            "An image's share inside is that of its energy, less the mean image, in the directions of the first layer that stand out from",
            "what is left of the initial weights. The rest is hidden under them, but not from who has the initial weights as well. Members",
            "that share a pattern have the same units of the first layer on as another member, and weigh in it in one proportion.",
            "Patterns of units are the different sets of members at which a unit is on; linear algebra needs as many as there are members.",
            "SSIM and share: rank correlation among the members of a cell. Counts are over all seeds; directions, patterns and shares are",
            "means over seeds.",
            "",
            *table(
                [*head, *_HEAD],
                [_line(group, told, parts, names) for group in mine],
                right=range(len(head) + 1, len(head) + len(_HEAD)),
            ),
            "",
            *_oracle(page.groups, told, names),
            *_reasons(mine, told, names),
        ]  # fmt: skip


def _line(group: Group, told: pd.DataFrame, parts: rows.Sides, names: Sequence[str]) -> list[str]:
    mine = told.loc[[cell for cell in group.cell_ids.values() if cell in told.index]]
    found = cells(group, parts)
    members, controls = ([pair[i] for pair in found.values()] for i in (0, 1))
    inside, outside = (tuple(np.sum([side.found(where) for side in members], axis=0)) if members else None for where in (True, False))
    return [
        *axis_labels(group, names),
        attack_name(group),
        f"{_mean(members)} : {_mean(controls)}",
        hits((inside[1], inside[1] + outside[1]) if inside and outside else None),
        hits(inside),
        hits(outside),
        correlation.shown([correlation.spearman(side.ssim, side.share) for side in members]),
        _of(mine, "span_rank", mine["n_members"]),
        _of(mine, "shared_patterns"),
        _of(mine, "unit_patterns"),
        str(len(mine)),
    ]


def _mean(sides: Sequence[Side]) -> str:
    return number(float(np.mean([side.share.mean() for side in sides if len(side.share)]))) if sides else NONE


def _of(mine: pd.DataFrame, column: str, of: pd.Series | None = None) -> str:
    """The mean over seeds, of the mean of how many."""
    mean = mine[column].mean()
    if np.isnan(mean):
        return NONE
    return f"{mean:.3g}" + ("" if of is None else f" / {of.mean():.3g}")


def _targets(groups: Sequence[Group], told: pd.DataFrame, names: Sequence[str], column: str) -> dict[str, pd.DataFrame]:
    """Setting → one row of each of its targets that has the column, whatever attacks it; settings without such rows are left out."""
    settings: dict[str, list[str]] = {}
    for group in groups:
        settings.setdefault(", ".join(axis_labels(group, names)), []).extend(cell for cell in group.cell_ids.values() if cell in told.index)
    parts = {where: told.loc[cells_of] for where, cells_of in settings.items()}
    parts = {where: part[part[column].notna()].drop_duplicates("target_id") for where, part in parts.items()}
    return {where: part for where, part in parts.items() if not part.empty}


def _oracle(groups: Sequence[Group], told: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """What the oracle of the patterns matches, a line a setting."""
    lines = [
        f"- {where}: {_hits(mine, 'pattern_oracle_members', 'n_members')} members, "
        f"{_hits(mine, 'pattern_oracle_controls', 'n_controls')} controls."
        for where, mine in _targets(groups, told, names, "pattern_oracle_members").items()
    ]
    if not lines:
        return []
    return [
        "**No attack:** an oracle that is told which units are on at which member, and the labels, solves linear equations for the images:",
        "",
        *lines,
        "",
    ]  # fmt: skip


def _hits(mine: pd.DataFrame, column: str, of: str) -> str:
    return hits((round(float((mine[column] * mine[of]).sum())), int(mine[of].sum())))


def _reasons(groups: Sequence[Group], told: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Why numbers are missing, a line a reason."""
    where: dict[str, dict[str, None]] = {}
    for group in groups:
        for cell in group.cell_ids.values():
            reason = told["span_reason"].get(cell, "")
            if reason:
                where.setdefault(escape(reason), {})[", ".join(axis_labels(group, names))] = None
    return [line for reason, places in where.items() for line in (f"No share inside at {'; '.join(places)}: {reason}.", "")]
