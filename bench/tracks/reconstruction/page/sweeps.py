"""Sweeps run by run: what picking a run is worth, by the attacker's own objective and by looking at the training set.

The papers run their attack many times with other hyperparameters. Which runs count is part of the claim: an attacker has the objective to
go by, an author has the training set. What an attack's objective means, and which side of it is better, the rows say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from bench.api import OWN_LOSS, Objective, Section
from bench.report.kit import correlation
from bench.report.kit.figures import COLOURS, INK, as_png, panel_titles, panels, strongest, styled
from bench.report.kit.groups import Group, axis_names, in_words
from bench.report.kit.page import Page
from bench.report.kit.text import NONE, attack_name, axis_heads, axis_labels, clean, escape, hits, interval, signed, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of rows from before attacks said what they go by: these attacks left a share of the weights unexplained, all others minus a confidence.
EARLIER = frozenset({"haim_kkt", "multiclass_kkt", "regression_kkt", "mnemonist_kkt", "random_mask_kkt"})
UNEXPLAINED = Objective("share of the weights left unexplained", "lower")


@dataclass(frozen=True)
class Run:
    """One run of a sweep when its candidates alone are scored."""

    run: int
    objective: float | None  # the attacker's own; None: the run diverged
    members: int
    controls: int


@dataclass(frozen=True)
class Swept:
    """The runs of one cell."""

    runs: list[Run]
    n_members: int
    n_controls: int
    objective: Objective  # what the numbers of the runs mean
    declared: bool  # the row itself says so
    told: bool  # some run reports an objective; where none of a line's cells has such a run, nothing says which diverged

    @property
    def best(self) -> Run | None:
        """The run that the attacker would pick: of the best own objective, the first of equals."""
        sign = 1 if self.objective.better == "lower" else -1
        known = [(sign * run.objective, run.run, run) for run in self.runs if run.objective is not None]
        return min(known, key=lambda one: one[:2])[2] if known else None

    @property
    def oracle(self) -> Run:
        """The run that somebody who knows the training set would pick: of the most members, the first of equals."""
        return max(self.runs, key=lambda run: (run.members, -run.run))

    @property
    def diverged(self) -> int:
        """Runs without a finite objective."""
        return sum(run.objective is None for run in self.runs)

    @property
    def rho(self) -> float | None:
        """Spearman's ρ of objective and members over the runs; negative: a lower objective means more members."""
        known = [run for run in self.runs if run.objective is not None]
        return correlation.spearman([run.objective or 0.0 for run in known], [run.members for run in known])


def parse(text: object, n_members: object, n_controls: object, attack: str) -> Swept | None:
    """The runs of a score row, from its columns; None where it has none, or they are not what the engine writes."""
    if not isinstance(text, str) or pd.isna(n_members) or pd.isna(n_controls):  # type: ignore[call-overload]
        return None
    try:
        items = [item for item in json.loads(text) if item["members"] is not None and item["controls"] is not None]
        declared = bool(items) and all("objective" in item for item in items)
        objective, values = _declared(items) if declared else _earlier(items, attack)
        runs = [Run(int(i["run"]), value, int(i["members"]), int(i["controls"])) for i, value in zip(items, values, strict=True)]
    except (ValueError, TypeError, KeyError, AttributeError):  # a table from elsewhere may hold anything
        return None
    if not runs:
        return None
    told = any(run.objective is not None for run in runs)
    return Swept(runs, int(n_members), int(n_controls), objective, declared, told)  # type: ignore[call-overload]


def _declared(items: Sequence[dict[str, Any]]) -> tuple[Objective, list[float | None]]:
    """What the runs themselves say of their objective, and its value at each.

    Raises:
        ValueError: they say different things, or not what an objective is.
    """
    said = {Objective(item["objective"]["name"], item["objective"]["better"]) for item in items}
    if len(said) != 1:
        raise ValueError("the runs of a sweep have different objectives")
    return said.pop(), [_finite(item["objective"]["value"]) for item in items]


def _earlier(items: Sequence[dict[str, Any]], attack: str) -> tuple[Objective, list[float | None]]:
    """The same of a row that was written before attacks said what they go by."""
    shares = [_finite(item.get("unexplained")) for item in items]
    ranked = all(item.get("unexplained") is not None or item.get("loss") is None for item in items)
    if not ranked or all(item.get("unexplained") is None for item in items):
        return OWN_LOSS, [_finite(item.get("loss")) for item in items]
    if attack in EARLIER:
        return UNEXPLAINED, shares
    return Objective(), [None if share is None else -share for share in shares]


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def lines(groups: Sequence[Group], rows: pd.DataFrame) -> list[tuple[Group, list[Swept]]]:
    """The groups whose cells tell their runs, with these, seed by seed."""
    known = rows[rows["sweep_runs"].notna()].drop_duplicates("cell_id").set_index("cell_id")
    found = []
    for group in groups:
        mine = []
        for _, cell in sorted(group.cell_ids.items()):
            if cell in known.index:
                row = known.loc[cell]
                swept = parse(row["sweep_runs"], row["n_members"], row["n_controls"], group.attack)
                mine += [swept] if swept else []
        if mine:
            found.append((group, mine))
    return found


# --- the page ---------------------------------------------------------------------------------------------------------------------------


def section(groups: Sequence[Group], rows: pd.DataFrame, picture: str | None = None) -> list[str]:
    """The lines of a page for the groups of one section; none where no cell tells its runs."""
    found = lines(groups, rows)
    if not found:
        return []
    names = axis_names(groups)
    head = axis_heads(names)
    swept = [one for _, mine in found for one in mine]
    extreme = _extreme(swept)
    pooled = "by their confidence (the headline)"
    if any(one.objective == OWN_LOSS for one in swept):
        pooled = "by their confidence, or by the loss of their run where they have none (the headline)"
    columns = [
        *head, "attack", "runs", "all runs, attacker's selection", "its excess recall [95 % CI]", f"run of {extreme} objective",
        "median run", "oracle run, chosen by its members", "oracle over all candidates", "diverged", "objective and members",
    ]  # fmt: skip
    return [
        "### What is picking a run worth?",
        "",
        "Members : controls above SSIM 0.4, over all seeds, under ways to choose among the runs of a sweep. An attacker can pool all runs",
        f"{pooled}, or take the run of the {extreme} objective. Taking the run that rebuilt the most members, or the",
        "best candidates out of all, needs the training set: these are upper bounds (*oracle*), and no attacks.",
        "",
        *_objectives(found),
        *[_verdict(group, mine, names) for group, mine in found],
        "",
        *([f"![Members above the threshold against the objective, run by run]({picture})", ""] if picture else []),
        *table(columns, [_line(group, mine, names) for group, mine in found], right=range(len(head) + 1, len(columns))),
        "",
        "A run is diverged where it ends without a finite objective. The last column is the rank correlation (Spearman) over the runs of a",
        f"cell, mean over seeds with Student's t interval: {_SIGNS[extreme]}.",
        "",
    ]


_SIGNS = {
    "lowest": "negative where a lower objective means more members",
    "highest": "positive where a higher objective means more members",
    "best": "negative where a lower objective means more members, positive where a higher one does",
}


def _extreme(swept: Sequence[Swept]) -> str:
    """The word for the objective that an attacker picks by: ``best`` where attacks differ in which side that is."""
    sides = {one.objective.better for one in swept}
    return "best" if len(sides) > 1 else "lowest" if "lower" in sides else "highest"


def _objectives(found: Sequence[tuple[Group, list[Swept]]]) -> list[str]:
    """What each attack goes by, where its rows say so."""
    said = {(g.attack, one.objective): None for g, mine in found for one in mine if one.declared}
    lines = [f"- The objective of {escape(name)}: {escape(of.name)}; {of.better} is better." for name, of in said]
    return [*lines, ""] if lines else []


def _line(group: Group, mine: Sequence[Swept], names: Sequence[str]) -> list[str]:
    counts = sorted({len(swept.runs) for swept in mine})
    told = any(swept.told for swept in mine)
    total = sum(len(swept.runs) for swept in mine)
    return [
        *axis_labels(group, names),
        attack_name(group),
        str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}",
        _pair(group.hits.get("members"), group.hits.get("controls")),
        interval(group.excess),
        _picked(mine, lambda swept: swept.best),
        _median(mine),
        _picked(mine, lambda swept: swept.oracle),
        _pair(group.hits.get("oracle_members"), group.hits.get("oracle_controls")),
        f"{100 * sum(swept.diverged for swept in mine) / total:.0f} %" if told else NONE,
        correlation.shown([swept.rho for swept in mine]),
    ]


def _pair(members: tuple[int, int] | None, controls: tuple[int, int] | None) -> str:
    return NONE if members is None or controls is None else f"{hits(members)} : {hits(controls)}"


def _picked(mine: Sequence[Swept], pick: Callable[[Swept], Run | None]) -> str:
    found = totals(mine, pick)
    return NONE if found is None else _pair((found[0], sum(s.n_members for s in mine)), (found[1], sum(s.n_controls for s in mine)))


def totals(mine: Sequence[Swept], pick: Callable[[Swept], Run | None]) -> tuple[int, int] | None:
    """Members and controls of one run a cell, summed over cells; None where some cell has no such run."""
    runs = [pick(swept) for swept in mine]
    known = [run for run in runs if run is not None]
    return (sum(run.members for run in known), sum(run.controls for run in known)) if len(known) == len(runs) else None


def _median(mine: Sequence[Swept]) -> str:
    """Medians over the runs of a cell, of members and of controls each, summed over cells."""
    members, controls = (sum(float(np.median([getattr(run, side) for run in s.runs])) for s in mine) for side in ("members", "controls"))
    return f"{members:g} / {sum(s.n_members for s in mine)} : {controls:g} / {sum(s.n_controls for s in mine)}"


def _verdict(group: Group, mine: Sequence[Swept], names: Sequence[str]) -> str:
    """What looking at the training set adds, in words."""
    where = f" at {escape(in_words(group.axis, names))}" if group.label else ""
    best, oracle = totals(mine, lambda swept: swept.best), totals(mine, lambda swept: swept.oracle)
    assert oracle is not None  # a sweep has a run
    if best is None:
        without = [swept for swept in mine if not swept.told]
        if len(without) < len(mine):
            said = f"in {len(without)} of {len(mine)} networks every run diverged, so that there was none to choose there"
        else:
            said = "its runs report no objective, so that only the training set could choose among them"
        return f"- {attack_name(group)}{where}: {said}."
    more = tuple((a - b) / len(mine) for a, b in zip(oracle, best, strict=True))
    return (
        f"- {attack_name(group)}{where}: choosing the run by its members instead of its objective brings {signed(more[0], 1)} members and "
        f"{signed(more[1], 1)} controls a network."
    )


# --- the picture ------------------------------------------------------------------------------------------------------------------------


@styled
def figure(groups: Sequence[Group], rows: pd.DataFrame, title: str) -> bytes | None:
    """PNG: the share of members (and of controls) that each run rebuilt against its objective, a panel a line. None: no runs are told."""
    found = [(group, mine) for group, mine in lines(groups, rows) if any(swept.told for swept in mine)]
    chosen = {id(group) for group in strongest([group for group, _ in found])}
    found = [(group, mine) for group, mine in found if id(group) in chosen]
    if not found:
        return None
    picture, axes = panels(panel_titles([group for group, _ in found]), f"{title}: run by run")
    most = (max(run.members / s.n_members, run.controls / s.n_controls) for _, mine in found for s in mine for run in s.runs)
    top = 1.15 * max(0.2, *most)
    extreme = _extreme([one for _, mine in found for one in mine])
    for axis, (_, mine) in zip(axes.flat, found, strict=False):
        _scatter(axis, mine, extreme)
        axis.set_ylim(-0.03 * top, top)
    for axis in axes[:, 0]:
        axis.set_ylabel("share above SSIM 0.4,\nthis run alone")
    height = picture.get_size_inches()[1]
    handles, labels = axes[0, 0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="upper left", ncols=3, frameon=False, fontsize=8.5, bbox_to_anchor=(0.0, 1 - 0.22 / height))
    return as_png(picture)


def _scatter(axis: Axes, mine: Sequence[Swept], extreme: str) -> None:
    finite = [(s, run) for s in mine for run in s.runs if run.objective is not None]
    points = [(run.objective, run.members / s.n_members, run.controls / s.n_controls) for s, run in finite]
    x, members, controls = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    axis.scatter(x, controls, s=12, color="#b0b0b0", linewidths=0, zorder=2, label="controls")
    axis.scatter(x, members, s=14, color=COLOURS[0], linewidths=0, alpha=0.8, zorder=3, label="members")
    chosen = [(run.objective, run.members / s.n_members) for s in mine if (run := s.best) is not None]
    picked, shares = (np.array(column, dtype=float) for column in zip(*chosen, strict=True))
    axis.scatter(picked, shares, s=58, facecolors="none", edgecolors=INK, linewidths=1.0, zorder=4, label=f"{extreme} objective")
    if (x > 0).all() and x.max() > 20 * x.min():
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_formatter(lambda value, _: "")
    axis.set_xlabel(", ".join(dict.fromkeys(clean(s.objective.name, 60) for s in mine)))
    diverged = sum(s.diverged for s in mine)
    if diverged:
        text = f"{diverged} of {sum(len(s.runs) for s in mine)} runs diverged"
        axis.text(0.98, 0.98, text, transform=axis.transAxes, ha="right", va="top", fontsize=7.5, color="#555555")


class Sweeps(Section):
    """See the module."""

    name: ClassVar[str] = "sweeps"
    pictures: ClassVar[tuple[str, ...]] = ("runs",)

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return section(page.groups, page.rows, page.figures.get("runs"))

    def figures(self, page: Page) -> dict[str, bytes | None]:
        """See Section."""
        return {"runs": figure(page.groups, page.rows, page.title)}
