"""The lines of tables: an attack on one setting, with all that tables filter by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.board import Best
from bench.report.kit.groups import Group, axis_names, in_words
from bench.report.kit.ranking import access, coverage
from bench.report.kit.text import NONE, clean, interval, of_headline
from bench.report.kit.transplants import FLAG
from bench.report.verified import Standings, word
from bench.site.gathered import Gathered
from bench.site.markup import plain


@dataclass(frozen=True)
class Line:
    """As tables show it, and what they sort by."""

    track: str
    attack: str  # with the hyperparameters that tell lines apart
    name: str  # of the attack alone
    role: str  # attack, control, or flagged
    dataset: str
    setting: str
    access: str
    network: str
    score: str  # the headline with its interval
    estimate: float | None
    low: float | None
    high: float | None
    lead: str  # over the strongest control
    ahead: float | None
    sure: bool  # ahead of every control
    seeds: int
    coverage: str
    verified: str
    date: str  # of the last cell, 2026-01-31
    grid: str  # slug
    by: str  # who submitted it; empty: run by this project
    defence: str


def network(setting: Mapping[str, Any]) -> str:
    """A network in a few words: what it is, how wide, its activation."""
    return clean(f"{setting.get('model')} {setting.get('hidden')} {setting.get('activation')}", 60)


def dates(scores: pd.DataFrame) -> dict[str, str]:
    """Cell → the day when it was finished, UTC."""
    known = scores[scores["finished_at"].notna()]
    return dict(zip(known["cell_id"], known["finished_at"].dt.strftime("%Y-%m-%d"), strict=True))


def line(group: Group, slug: str, names: list[str], found_out: Standings, days: Mapping[str, str]) -> Line:
    """A group as a line.

    Args:
        names: the axes by which its part of the grid tells settings apart.
    """
    estimate, low, high = (None, None, None) if group.excess is None else (_finite(value) for value in group.excess)
    role = "control" if group.role == "control" else FLAG if group.flagged else "attack"
    where = {name: value for name, value in group.axis.items() if name != "dataset"}
    return Line(
        track=clean(group.track),
        attack=clean(group.name, 80),
        name=clean(group.attack, 60),
        role=role,
        dataset=clean(group.setting.get("dataset_display") or group.setting.get("dataset")),
        setting=clean(in_words(where, [name for name in names if name in where]), 80),
        access=plain(access(group.access)),
        network=network(group.setting),
        score=of_headline(group),
        estimate=estimate,
        low=low,
        high=high,
        lead=interval(group.lead) if group.role == "attack" else "",
        ahead=_finite(group.lead.estimate) if group.lead else None,
        sure=group.surely > 0 and not group.flagged,
        seeds=group.ok,
        coverage=plain(coverage(group.counts)),
        verified=word(found_out, group.track, group.attack) if group.role == "attack" else "",
        date=max((days.get(cell, "") for cell in group.cell_ids.values()), default=""),
        grid=slug,
        by=clean(getattr(group, "submitted", ""), 60),
        defence=str(group.setting.get("defense") or ""),
    )


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def every(found: Gathered) -> list[Line]:
    """The lines of all grids, in the order of their pages."""
    days = dates(found.scores)
    result = []
    for slug, page in found.pages.items():
        for groups in page.parts.values():
            names = axis_names(groups)
            result += [line(group, slug, names, found.found_out, days) for group in groups]
    return result


@dataclass(frozen=True)
class Top:
    """An attack where it is most surely ahead, as the leaderboard has it."""

    line: Line
    control: str  # the strongest one there
    beside: str  # what that gets
    lead: str
    ahead: float | None
    settings: str  # surely ahead at so many of those that it was put to
    share: float
    control_at: float | None
    name: str  # of the attack, whole


def top(best: Best, found: Gathered, days: Mapping[str, str]) -> Top:
    """A line of the board."""
    group = best.lead.attack
    mine = line(group, best.page.slug, list(group.axis), found.found_out, days)
    mine = Line(**{**mine.__dict__, "role": FLAG if best.flagged else mine.role})
    control = best.lead.control
    beside = None if control is None or control.excess is None else _finite(control.excess.estimate)
    lead = best.lead.interval
    return Top(
        mine,
        clean(best.lead.least.partition(" (")[0], 40) or NONE,
        best.lead.beside,
        interval(lead),
        _finite(lead.estimate) if lead else None,
        f"{best.ahead}/{best.tried}",
        round(best.ahead / max(1, best.tried), 4),
        beside,
        group.attack,
    )


def coded(lines: list[Line], names: list[str]) -> dict[str, Any]:
    """Lines as JSON of which texts that come again are written once: the texts of each column, and lines of their places."""
    texts: dict[str, dict[str, int]] = {name: {} for name in names}
    rows = []
    for one in lines:
        row: list[Any] = []
        for name in names:
            value = getattr(one, name)
            row.append(texts[name].setdefault(value, len(texts[name])) if isinstance(value, str) else value)
        rows.append(row)
    return {"columns": names, "texts": {name: list(found) for name, found in texts.items() if found}, "rows": rows}
