"""From rows to groups: one group is a grid × setting (seed aside) × attack, over all its seeds.

Intervals answer for other seeds and other images (``bench.metrics.intervals.shares_over_seeds``). Nothing is averaged over survivors: a
group knows how many of its cells have no scores, and why; and in what ranks an attack's line such a cell counts as one in which nothing
was learnt, so that failing on weak cells does not pay. A control's cell without scores counts for nothing: controls that fail must not put
attacks ahead.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from bench import tracks
from bench.api import Headline
from bench.metrics.intervals import Interval, shares_over_seeds, t_interval
from bench.report.kit.groups import FACTS, SETTING, Group, axis_of, counts, setting_key
from bench.report.kit.lead import lead
from bench.report.kit.rows import records
from bench.report.kit.transplants import met

UNUSED = frozenset({"stderr", "sweep_runs", "versions", "platform", "grid_published", "finished_at"})  # long, or of other pages
NAMED = 3  # hyperparameters that a line's name holds, those at their defaults included


def aggregate(scores: pd.DataFrame, images: pd.DataFrame | None = None) -> list[Group]:
    """All groups, in grid order; within a setting ranked by the headline of their track, groups without scores last, and behind them those
    of flagged attacks (``bench.report.kit.transplants``).

    The shares of the rows and their numbers of images give the hit counts, so image rows are not needed for the headline.

    Args:
        images: image rows, from which a track may know more of its lines (`Track.refine`).
    """
    if scores.empty:
        return []
    named = records(scores[[name for name in scores.columns if name not in UNUSED]])
    every = [{**row, "": i} for i, row in enumerate(named)]  # with its place
    keys = setting_key(scores).tolist()
    sections = _sections(every)
    grouped: dict[tuple[str, ...], list[int]] = {}
    for i, row in enumerate(every):
        identity = (row["grid"], keys[i], row["attack"] or "", row["attack_params"] or "", row["sweep"] or "", row["protocol"] or "")
        grouped.setdefault(identity, []).append(i)
    lines: dict[tuple[str, str, str], list[int]] = {}  # of one setting and attack, a record of each of its variants
    for (grid, key, attack, *_), members in grouped.items():
        lines.setdefault((grid, key, attack), []).append(members[0])
    means = _Means(scores)
    track_of = {name: tracks.of_row(name) for name in {row["track"] for row in every}}  # looking one up reads folders
    refine = {name: track.refine(images) for name, track in track_of.items()}
    groups = []
    for (grid, key, attack, *_), members in grouped.items():
        others = [every[i] for i in lines[grid, key, attack]]
        variant = _variant(every[members[0]], others) if len(others) > 1 else ""
        rows = sorted((every[i] for i in members), key=lambda row: (row["seed"] or 0, row["cell_id"]))
        track = rows[0]["track"]
        groups.append(_group(rows, sections[members[0]], variant, means, track_of[track].headline, refine[track]))
    wrong = {(group.grid, group.attack) for group in groups if group.role != "control" and group.transplants and group.transplants.suspect}
    for group in groups:
        group.flagged = (group.grid, group.attack) in wrong
    _lead(groups)
    return sorted(groups, key=_order)


def _lead(groups: Sequence[Group]) -> None:
    """Sets each attack's line beside the controls of its setting."""
    settings: dict[tuple[Any, ...], list[Group]] = {}
    for group in groups:
        settings.setdefault((group.grid, group.track, group.section, group.axis_index, group.label), []).append(group)
    for mine in settings.values():
        for group in mine:
            if group.role == "attack" and group.excess:
                found = lead(group, mine)
                group.lead, group.surely = found.interval, found.surely


class _Means:
    """Means over rows of every number in the table."""

    def __init__(self, scores: pd.DataFrame) -> None:
        self.names = [name for name in scores.columns if pd.api.types.is_numeric_dtype(scores[name])]
        self.table = np.array([scores[name].to_numpy(dtype=float, na_value=np.nan) for name in self.names])

    def over(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """By column; None where a row has no number."""
        mean = np.ascontiguousarray(self.table[:, [row[""] for row in rows]]).mean(axis=1).tolist()
        return {name: None if math.isnan(value) else value for name, value in zip(self.names, mean, strict=True)}


def _order(group: Group) -> tuple[Any, ...]:
    value = -math.inf if group.excess is None else group.excess.estimate
    tie = group.means.get(group.headline.tie) or 0.0
    place = (group.track, group.grid, group.section, group.axis_index, group.label)
    return *place, group.flagged, -value, -tie, group.role, group.name


Refine = Callable[[Group, Sequence[Mapping[str, Any]]], None]


def _group(
    rows: Sequence[Mapping[str, Any]], section: str, variant: str, means: _Means, headline: Headline, refine: Refine | None
) -> Group:
    first = rows[0]
    group = Group(
        grid=first["grid"],
        section=section,
        axis=axis_of(first),
        axis_index=-1 if first["axis_index"] is None else int(first["axis_index"]),
        track=first["track"] or tracks.DEFAULT,
        protocol=first["protocol"] or "",
        attack=first["attack"] or "",
        variant=variant,
        role=first["role"] or "attack",
        access=first["access"] or "",
        setting={**{name: first[name] for name in SETTING}, "input_shape": first["input_shape"]},
        seeds=sorted({int(row["seed"] or 0) for row in rows}),
        counts=Counter(row["status"] for row in rows),
        reasons=[(int(row["seed"] or 0), row["status"], row["reason"] or "") for row in rows if row["status"] != "ok"],
        headline=headline,
        submitted=f"{first['submitted_by']}, {first['submitted_at']}" if first.get("submission") else "",
    )
    for row in rows:
        if row["train_accuracy"] is not None:
            group.targets[row["target_id"]] = {name: row[name] for name in FACTS}
    totals = [name for share in (headline.share, headline.less) if share is not None for name in share.of]
    scored = [row for row in rows if row["status"] == "ok" and row[headline.column] is not None and all(row[name] for name in totals)]
    if not scored:
        return group
    group.per_seed = {int(row["seed"] or 0): float(row[headline.column]) for row in scored}
    if headline.null and headline.share is not None:
        told = {int(row["seed"] or 0): row for row in scored if row[headline.null] is not None}
        group.null = {seed: float(row[headline.null]) for seed, row in told.items()}
        group.share = {seed: float(row[headline.share.column]) for seed, row in told.items()}
    if group.role == "attack":
        group.missed = sorted({seed for seed, _, _ in group.reasons} - set(group.per_seed))
    group.hyperparameters = _hyperparameters(first) or {}
    group.cell_ids = {int(row["seed"] or 0): row["cell_id"] for row in scored}
    group.means = means.over(scored)
    group.transplants = met(scored, headline)
    _rank(group, scored)
    if refine is not None:
        refine(group, scored)
    return group


def _rank(group: Group, rows: Sequence[Mapping[str, Any]]) -> None:
    """The interval of what ranks the line."""
    headline = group.headline
    if headline.share is None or headline.less is None:
        group.excess = _over_seeds(headline, rows, len(group.missed))
        return
    members, controls = (_with_missed(counts(rows, share), len(group.missed)) for share in (headline.share, headline.less))
    for side, found in (("members", members), ("controls", controls)):
        if found is not None:
            group.hits[side] = int(found[0].sum()), int(found[1].sum())
            seeds = [*(int(row["seed"] or 0) for row in rows), *group.missed]
            group.counted[side] = dict(zip(seeds, zip(*(side.tolist() for side in found), strict=True), strict=True))
    if members is not None and controls is not None:
        group.excess, group.members, group.controls = shares_over_seeds(*members, *controls)


def _with_missed(found: tuple[np.ndarray, np.ndarray] | None, missed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Hits and of how many, a number a row, and for each cell without scores no hit of as many as in the first row."""
    if found is None:
        return None
    hits, n = found
    return np.append(hits, np.repeat(hits[:1] * 0, missed)), np.append(n, np.repeat(n[:1], missed))


def _over_seeds(headline: Headline, rows: Sequence[Mapping[str, Any]], missed: int) -> Interval:
    """Student's t over the seeds, cells without scores at chance; of a single one what its row says, or all of the range."""
    mean, low, high = t_interval([*(row[headline.column] for row in rows), *[headline.chance] * missed])
    if len(rows) == 1 and not missed:
        low, high = (low if (end := rows[0].get(f"{headline.column}_{name}")) is None else end for name, low in (("lo", low), ("hi", high)))
    return Interval(mean, max(headline.low, low), min(headline.high, high))


def _sections(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each row the part of its grid that it is compared in.

    Rows of one grid and one axis label that differ in a setting field (after ``--set dataset=cifar10``, say) belong to different
    parts, named by those fields. Tracks and score protocols are parts of their own, whatever their settings.
    """
    settings_of = itemgetter(*SETTING)
    seen: dict[tuple[str, str, str], set[tuple[Any, ...]]] = {}
    several: dict[str, set[str]] = {}
    protocols: dict[str, set[str]] = {}
    for row in records:
        track = row["track"] or tracks.DEFAULT
        several.setdefault(row["grid"], set()).add(track)
        protocols.setdefault(row["grid"], set()).add(row["protocol"] or "")
        seen.setdefault((row["grid"], track, row["axis"] or ""), set()).add(settings_of(row))
    varied: dict[tuple[str, str], set[str]] = {}
    for (grid, track, _), found in seen.items():
        differ = varied.setdefault((grid, track), set())
        differ.update(name for name, values in zip(SETTING, zip(*found, strict=True), strict=True) if len(set(values)) > 1)
    result = []
    for row in records:
        track = row["track"] or tracks.DEFAULT
        differ = varied[row["grid"], track]
        names = [name for name in SETTING if name in differ] if differ else []
        if "dataset_display" in names and "dataset" in names:
            names.remove("dataset")
        parts = [f"track {track}"] if len(several[row["grid"]]) > 1 else []
        parts += [f"score protocol {row['protocol']}"] if len(protocols[row["grid"]]) > 1 else []
        result.append(", ".join([*parts, *(f"{name.removesuffix('_display')} = {row[name]}" for name in names)]))
    return result


def _variant(row: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """The hyperparameters that tell a line from the others of its attack, where the rows know them all.

    Those at their defaults are among them as long as they are few; where many differ, a line is named by what its grid sets.
    """
    every = [_hyperparameters(other) for other in others]
    mine = _hyperparameters(row)
    if mine is None or any(other is None for other in every):
        return "; ".join(_short(text) for text in (row["attack_params"], row["sweep"]) if text not in (None, "", "{}")) or "defaults"
    known = [other for other in every if other is not None]
    # in alphabetical order: a line has one name at every axis value, wherever its hyperparameters stood
    names = [name for name in sorted({n for other in known for n in other}) if len({repr(other.get(name)) for other in known}) > 1]
    if len(names) > NAMED:
        names = sorted(json.loads(row["attack_params"] or "{}"))
    parts = [f"{name}={mine[name]}" for name in names if name in mine]
    texts = [", ".join(parts), _short(row["sweep"]) if row["sweep"] else ""]
    return "; ".join(text for text in texts if text) or "defaults"


def _hyperparameters(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """All hyperparameters of a row's attack, or None where the row, an old one, does not tell its defaults."""
    try:
        defaults, params = json.loads(row["attack_defaults"] or ""), json.loads(row["attack_params"] or "{}")
    except ValueError:
        return None
    return {**params, **defaults} if isinstance(defaults, dict) and isinstance(params, dict) else None


def _short(text: str) -> str:
    """Hyperparameters or a sweep, as a few words."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if not isinstance(value, dict):
        return text
    if "runs" in value and "ranges" in value:
        raced = f", halving {value['halving']}" if "halving" in value else ""
        return f"{value['runs']} runs over {', '.join(value['ranges'] or ['nothing'])}{raced}"
    return ", ".join(f"{k}={v}" for k, v in value.items())
