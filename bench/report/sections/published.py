"""The figures that a paper prints beside ours: at which scale each was measured is said of both, for they are seldom the same."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pandas as pd

from bench.api import Section
from bench.metrics.intervals import t_interval
from bench.registry import register
from bench.report.kit.groups import FACTS, Group, axis_names
from bench.report.kit.page import Page
from bench.report.kit.text import NONE, attack_name, escape, general, table
from bench.schema import columns

_RANGES = {"[0, 1]": (0.0, 1.0), "[-1, 1]": (-1.0, 1.0), ">= 0": (0.0, math.inf)}  # an interval of a mean ends where its values do


@dataclass(frozen=True)
class Figure:
    """One figure of a paper, as a grid's file gives it."""

    what: str
    column: str  # our score column that measures the same
    value: float
    at: str  # the paper's scale and setting
    source: str
    axis: Mapping[str, str] = field(default_factory=dict)  # labels of our cells that stand beside it; empty: all


def figures_of(rows: pd.DataFrame) -> list[Figure]:
    """The figures of a grid, as its row that was finished last has them; none where the text is not what a grid's file gives."""
    known = rows[rows["grid_published"].notna()]
    if known.empty:
        return []
    text = known.sort_values("finished_at", kind="stable")["grid_published"].iloc[-1]
    try:
        return [_figure(item) for item in json.loads(text)]
    except (ValueError, TypeError, KeyError, AttributeError):  # a table from elsewhere may hold anything
        return []


def _figure(item: Mapping[str, Any]) -> Figure:
    axis = {str(name): str(label) for name, label in (item.get("axis") or {}).items()}
    return Figure(str(item["what"]), str(item["column"]), float(item["value"]), str(item["at"]), str(item["source"]), axis)


@dataclass(frozen=True)
class Ours:
    """What stands beside a figure: one setting's attack lines that have the same values (a fact of the target is one for all of them)."""

    groups: list[Group]
    values: list[float]  # one a seed
    controls: list[float]  # the same of the controls; empty where there is no such column

    @property
    def group(self) -> Group:
        """One that stands for all."""
        return self.groups[0]


def beside(figure: Figure, groups: Sequence[Group], rows: pd.DataFrame) -> list[Ours]:
    """Our lines for a figure: attacks (controls aside) at its axis labels, over the seeds whose score column is not null."""
    if figure.column not in rows.columns or not pd.api.types.is_numeric_dtype(rows[figure.column]):
        return []
    by_cell = rows[rows["status"] == "ok"].drop_duplicates("cell_id").set_index("cell_id")
    counterpart = counterpart_of(figure.column, rows)
    found: dict[tuple[Any, ...], Ours] = {}
    for group in groups:
        if group.role != "attack" or not all(_at(group, name, label) for name, label in figure.axis.items()):
            continue
        own = by_cell.reindex([cell for _, cell in sorted(group.cell_ids.items())])
        values = [float(value) for value in own[figure.column].dropna()]
        controls = [float(value) for value in own[counterpart].dropna()] if counterpart else []
        if not values:
            continue
        key = (group.section, group.axis_index, group.label, *values, *controls)
        if key in found:
            found[key].groups.append(group)
        else:
            found[key] = Ours([group], values, controls)
    return list(found.values())


def _at(group: Group, name: str, label: str) -> bool:
    """Whether a line is at that label of an axis. Tables name a data set as what it is, such as a copy; a grid's file by its short name."""
    return label in (group.axis.get(name), str(group.setting.get(name)) if name == "dataset" else None)


def counterpart_of(column: str, rows: pd.DataFrame) -> str | None:
    """The column that says of the controls what this one says of the members, where there is one."""
    if column.endswith("_controls"):
        return None
    names = [column.replace("recall_members", "recall_controls")] if "recall_members" in column else [f"{column}_controls"]
    return next((name for name in names if name in rows.columns), None)


def section(rows: pd.DataFrame, groups: Sequence[Group]) -> list[str]:
    """The lines of a grid's page; none where the grid names no figures."""
    figures = figures_of(rows)
    if not figures:
        return []
    lines = []
    for figure in figures:
        mine = beside(figure, groups, rows)
        names = [name for name in axis_names([ours.group for ours in mine]) if name not in figure.axis] if mine else []
        head = [escape(figure.what), f"**{general(figure.value)}**", escape(figure.at)]
        if not mine:
            lines.append([*head, _labels(figure.axis), NONE, NONE, NONE, "no cell of ours has it", escape(figure.source)])
        for ours in mine:
            group = ours.group
            where = {name: group.axis.get(name, "") for name in [*figure.axis, *names]}
            setting = "; ".join(part for part in (_labels(where), escape(group.section)) if part)
            attack = NONE if figure.column in FACTS else ", ".join(dict.fromkeys(attack_name(g) for g in ours.groups))
            numbers = [_over_seeds(ours.values, figure.column), _over_seeds(ours.controls, figure.column)]
            lines.append([*head, setting or "all", attack, *numbers, _scale(group, rows, len(ours.values)), escape(figure.source)])
    columns = ["what", "paper", "paper's scale", "our setting", "attack", "ours [95 % CI]", "our controls", "our scale", "source"]
    return [
        "Figures as the paper prints them, each beside the same quantity here: mean over seeds with Student's t interval. Read both scales",
        "before comparing. Where ours counts members, the same of controls stands beside it; papers seldom print one.",
        "",
        *table(columns, lines, right=[1, 5, 6]),
        "",
    ]


def _labels(axis: Mapping[str, str]) -> str:
    return ", ".join(f"{escape(name)} {escape(label)}" for name, label in axis.items())


def _over_seeds(values: Sequence[float], column: str) -> str:
    if not values:
        return NONE
    if len(values) == 1:
        return f"{_minus(values[0])} (one seed)"
    mean, low, high = t_interval(list(values))
    least, most = _RANGES.get(next(c.range for c in columns("scores") if c.name == column), (-math.inf, math.inf))
    return f"{_minus(mean)} [{_minus(max(low, least))}, {_minus(min(high, most))}]"


def _minus(value: float) -> str:
    return general(value).replace("-", "−")


def _scale(group: Group, rows: pd.DataFrame, seeds: int) -> str:
    images = rows.loc[rows["cell_id"].isin(set(group.cell_ids.values())), "n_members"].dropna()
    n = f"{int(images.iloc[0])} training images" if len(images) else f"{group.setting['n_per_class']} training images a class"
    convolutions = group.setting.get("channels")
    layers = f"channels {convolutions}, hidden {group.setting['hidden']}" if convolutions else f"hidden {group.setting['hidden']}"
    return escape(f"{n}, {group.setting['model']} {layers}, {seeds} {'seed' if seeds == 1 else 'seeds'}")


@register
class Published(Section):
    """The figures that a paper prints, beside ours."""

    name: ClassVar[str] = "published"
    title: ClassVar[str] = "## The paper beside ours"
    place: ClassVar[Literal["top", "part", "end"]] = "top"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return section(page.rows, page.groups)
