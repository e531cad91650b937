"""A card for each attack and each defence: what it is, by its source, and what it did, by the rows."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench import registry
from bench.errors import BenchError
from bench.report.kit.text import clean
from bench.site.gathered import Gathered
from bench.site.lines import Line
from bench.site.pictures import Gallery, Shown

BANDS = ("best", "median", "worst")


@dataclass(frozen=True)
class Run:
    """Who ran it and when, by the rows."""

    by: str
    cells: int
    first: str  # day, UTC
    last: str
    version: str
    source: str  # head of the hash of its source file
    code: str  # versions of this project
    devices: str
    platform: str


@dataclass(frozen=True)
class Results:
    """What its lines of one grid come to."""

    best: Line  # the one of the highest score
    datasets: str
    lines: int
    sure: str  # surely ahead of every control, at so many of its lines; empty: controls are ahead of nothing


def results(lines: Sequence[Line]) -> list[Results]:
    """A line a grid, in the order of the grids."""
    by_grid: dict[str, list[Line]] = {}
    for one in lines:
        by_grid.setdefault(one.grid, []).append(one)
    found = []
    for mine in by_grid.values():
        best = max(mine, key=lambda one: -math.inf if one.estimate is None else one.estimate)
        sure = "" if best.role == "control" else f"{sum(one.sure for one in mine)} / {len(mine)}"
        found.append(Results(best, clean(", ".join(dict.fromkeys(one.dataset for one in mine)), 80), len(mine), sure))
    return found


@dataclass
class Card:
    """What a card shows. Of an attack that is not here any more what its rows say."""

    kind: str  # attack, control or defence
    name: str
    file: str  # of its page
    summary: str = ""
    paragraphs: Sequence[str] = ()
    paper: str = ""
    track: str = ""
    access: str = ""
    parameters: Sequence[tuple[str, str, str, str]] = ()  # name, type, default, range of sweeps
    origin: str = ""  # path of its source
    missing: str = ""  # why there is nothing but rows
    lines: Sequence[Line] = ()
    runs: Sequence[Run] = ()
    claims: Sequence[Any] = ()
    pictures: Sequence[tuple[str, Shown]] = ()  # band and picture
    results: Sequence[Results] = ()  # a line a grid
    pictured: Gallery | None = None  # the cell that they are of
    verified: str = ""
    note: str = field(default="")


def slugs(names: Sequence[str], start: str) -> dict[str, str]:
    """A file name for each, whatever they hold."""
    taken: set[str] = set()
    found = {}
    for name in names:
        slug = start + (re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:80] or "nameless")
        while slug.lower() in taken:
            slug += "_"
        taken.add(slug.lower())
        found[name] = f"{slug}.html"
    return found


def attacks(found: Gathered, lines: Sequence[Line], files: Mapping[str, str], galleries: Sequence[Gallery]) -> list[Card]:
    """A card for each attack and control, of the registry and of the rows."""
    entries = registry.entries("attack")
    runs = _runs(found.scores, "attack")
    by_name: dict[str, list[Line]] = {}
    for one in lines:
        by_name.setdefault(one.name, []).append(one)
    cards = []
    for name, file in files.items():
        mine = by_name.get(clean(name, 60), [])
        role = mine[0].role if mine else str(registry.literal(entries[name], "role") or "attack") if name in entries else "attack"
        card = Card("control" if role == "control" else "attack", name, file, lines=mine, results=results(mine), runs=runs.get(name, ()))
        _described(card, entries.get(name), "attack")
        card.track = card.track or (mine[0].track if mine else "")
        card.access = card.access or (mine[0].access if mine else "")
        card.claims = [one for one in found.claims if one.owner == name]
        card.verified = next((one.verified for one in mine if one.verified), "")
        _pictured(card, [one for one in galleries if one.row["attack"] == name])
        cards.append(card)
    return cards


def defences(found: Gathered, lines: Sequence[Line], files: Mapping[str, str]) -> list[Card]:
    """A card for each defence, of the registry and of the rows."""
    entries = registry.entries("defense")
    runs = _runs(found.scores, "defense")
    cards = []
    for name, file in files.items():
        mine = [one for one in lines if one.defence == name] if name != "none" else []
        card = Card("defence", name, file, lines=mine, results=results(mine), runs=runs.get(name, ()))
        _described(card, entries.get(name), "defense")
        if name == "none":
            card.note = "Every line that names no defence is of a network without one, so its lines are not listed here."
        cards.append(card)
    return cards


def _described(card: Card, entry: registry.Entry | None, kind: registry.Kind) -> None:
    """What the source says."""
    if entry is None:
        card.missing = "Its source is not here; this is what its rows say."
        return
    card.summary, card.origin = entry.summary, _origin(entry.origin)
    try:
        cls = registry.get(kind, card.name)
    except BenchError as error:
        card.missing = str(error).partition("\n")[0]
        return
    doc = inspect.cleandoc(cls.__doc__ or "")
    card.paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", doc) if part.strip()]
    card.paper = str(getattr(cls, "paper", "") or "")
    card.track = str(getattr(cls, "track", "") or "")
    if kind == "attack":
        card.access = " + ".join(sorted(str(tier).replace("_", " ") for tier in cls.needs))
    card.parameters = list(_parameters(cls))


def _parameters(cls: type) -> list[tuple[str, str, str, str]]:
    if not dataclasses.is_dataclass(cls):
        return []
    ranges = getattr(cls, "ranges", {})
    found = []
    for one in dataclasses.fields(cls):
        default = "required"
        if one.default is not dataclasses.MISSING:
            default = repr(one.default)
        elif one.default_factory is not dataclasses.MISSING:
            default = repr(one.default_factory())
        swept = ranges.get(one.name)
        found.append((one.name, str(one.type), default, f"{swept[0]:g} to {swept[1]:g}, {swept[2]}" if swept else ""))
    return found


def _origin(path: str) -> str:
    """Relative to the project; a file from elsewhere by its name alone, since a path tells whose machine it was."""
    if not path.endswith(".py"):
        return path
    where = Path(path)
    return where.relative_to(registry.ROOT).as_posix() if where.is_relative_to(registry.ROOT) else where.name


def _runs(scores: pd.DataFrame, column: str) -> dict[str, list[Run]]:
    """Of each attack or defence its runs: by whom, and by version and source."""
    frame = scores.copy(deep=False)
    frame["_by"] = scores["submitted_by"].fillna("") if "submitted_by" in scores else ""
    keys = [column, "_by", "attack_version", "attack_source"] if column == "attack" else [column, "_by"]
    found: dict[str, list[Run]] = {}
    for key, mine in frame.groupby(keys, dropna=False, sort=True):
        values = dict(zip(keys, key, strict=True))
        days = mine["finished_at"].dropna()
        found.setdefault(str(values[column]), []).append(
            Run(
                by=clean(values["_by"] or "the maintainers", 60),
                cells=mine["cell_id"].nunique(),
                first="" if days.empty else f"{days.min():%Y-%m-%d}",
                last="" if days.empty else f"{days.max():%Y-%m-%d}",
                version=_word(values.get("attack_version")),
                source=_word(values.get("attack_source"))[:8],
                code=_several(mine["code_version"]),
                devices=_several(mine["device"]),
                platform=_several(mine["platform"]),
            )
        )
    return {name: sorted(runs, key=lambda run: run.last, reverse=True) for name, runs in found.items()}


def _word(value: Any) -> str:
    return "" if value is None or pd.isna(value) else clean(value)


def _several(values: pd.Series) -> str:
    return clean(", ".join(sorted(set(values.dropna().astype(str)))), 120)


def _pictured(card: Card, galleries: Sequence[Gallery]) -> None:
    """Best, median and worst of the first cell that has them."""
    scored = [one for one in galleries if any(each.ssim is not None for each in one.members)]
    if not scored:
        return
    best = next((one for one in scored if len(one.members) >= len(BANDS)), scored[0])
    members = best.members
    places = [0, len(members) // 2, len(members) - 1] if len(members) >= len(BANDS) else list(range(len(members)))
    card.pictured = best
    card.pictures = [(band, members[place]) for band, place in zip(BANDS, places, strict=False)]
