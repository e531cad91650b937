"""What the papers claim, tested on the rows: effects a seed, their interval, a p-value corrected for all tests of the page, a verdict.

The unit is the seed: it draws the images and the initial weights, and cells of one seed share them. At each seed the effect is taken at
every point of the setting by itself (each data set, each value of the other axes), paired where two lines are compared; the mean over the
points is the seed's value. Points that some seed lacks are left out for all seeds, so that seeds differ in the seed alone.

========================  ==============================================================================================================
test                      a seed's value at a point
========================  ==============================================================================================================
``works``                 a column of the score row
``difference``            mean of the column over the rows chosen by ``a``, less the mean over those chosen by ``b``
``beats``                 the same, less the best single line chosen by ``b``
``trend``                 slope of the column by the logarithm to base 2 of the setting column ``along``; zeros have no place on it
``concordance``           of the pairs of runs of a sweep with different hits (members less controls), the share in which the run with the
                          lower loss has more; a run that diverged has the highest loss, equal losses count half
``margin``                Spearman's rank correlation of an image column with the image's margin, so with its distance to the least one,
                          over the members, less the same over the controls; with the size of the multiplier over the members alone,
                          for controls have none
========================  ==============================================================================================================

Scores of two protocols of a track are never compared: of rows of several, a claim has those by which most seeds tell, the latest first.
Of a column, another of the same row is taken off first where ``minus`` names one. The value is compared with the claim's ``level``. What a
claim may say is in ``bench.api.Claim``.
"""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from bench import tracks
from bench.api import EXCESS_RECALL, Claim, Row
from bench.claims.declarations import COMPARISON, Declared, faults
from bench.metrics.intervals import Interval
from bench.metrics.significance import holm, one_mean, seeds_needed
from bench.report.kit.correlation import spearman
from bench.report.kit.groups import SETTING, counts
from bench.report.kit.rows import Sides, by_cell, records
from bench.report.kit.text import NONE
from bench.schema import protocol_number

ALPHA = 0.05
SCALES = ("mnist", "tiles", "medium", "full")  # of our grids: rows there have the scale behind the name of the grid
REPRODUCED, CONTRADICTED, INCONCLUSIVE, NO_ROWS, BROKEN = "reproduced", "contradicted", "inconclusive", "no rows", "broken"
_IDENTITY = ("attack", "attack_params", "sweep")


@dataclass(frozen=True)
class Finding:
    """What came of one claim in one grid."""

    owner: str
    claim: Claim
    grid: str
    values: Mapping[int, float] = field(default_factory=dict)  # seed → effect
    reason: str = ""  # why there are no values, or which cells have none
    beside: str = ""  # members and controls over the threshold, and what else belongs beside the effect
    verdict: str = ""
    effect: Interval | None = None
    p: float | None = None
    corrected: float | None = None  # Holm's, over all tests of the page
    more: int | None = None  # seeds that would decide; None: decided, not to be told, or beyond reach


# --- rows -----------------------------------------------------------------------------------------------------------------------------


def value_of(row: Mapping[str, Any], key: str) -> Any:
    """What a row holds under a column, a ``param:NAME`` or an ``axis:NAME``; None where there is nothing."""
    kind, _, name = key.partition(":")
    if kind == "param" and name:
        return (_json(row["attack_defaults"]) | _json(row["attack_params"])).get(name)
    if kind == "axis" and name:
        return _json(row["axis"]).get(name)
    return row[key]


def chosen(row: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
    """Whether a row meets every condition of a ``where``, ``a`` or ``b``."""
    return all(_meets(value_of(row, key), wanted) for key, wanted in conditions.items())


def _meets(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, tuple):
        return any(_meets(value, one) for one in wanted)
    if wanted is None or value is None:
        return wanted is None and value is None
    if isinstance(wanted, str) and (comparison := COMPARISON.fullmatch(wanted)):
        number = _number(value)
        limit = float(comparison[2])
        return number is not None and (number > limit if comparison[1] == ">" else number < limit)
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return _number(value) == wanted
    return bool(value == wanted)


def _number(value: Any) -> float | None:
    """A number, or a text that is one, such as the classes or the widths of a network (its first one counts)."""
    try:
        number = float(value.partition("-")[0] if isinstance(value, str) else value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _json(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _records(frame: pd.DataFrame) -> list[Row]:
    """Rows as dictionaries, with None where there is nothing, in an order of their own."""
    return sorted(records(frame), key=lambda row: (str(row["cell_id"]), row["seed"] or 0))


# --- effects --------------------------------------------------------------------------------------------------------------------------

Point = tuple[Any, ...]
Measured = dict[int, dict[Point, tuple[float, list[Row]]]]  # seed → point → effect, and the rows that it is made of


def _point(row: Row, without: Iterable[str], also: Iterable[str] = ()) -> Point:
    """All that a row's setting holds, less the columns that a test compares."""
    left_out = set(without)
    return tuple(row[name] for name in SETTING if name not in left_out) + tuple(str(value_of(row, name)) for name in also)


def _works(claim: Claim, rows: Sequence[Row], images: Images) -> Measured:
    return _of_cells(rows, lambda row: _measured(claim, row))


def _measured(claim: Claim, row: Row) -> float | None:
    """The claim's column, less another of the same row."""
    value, less = _number(row[claim.column]), _number(row[claim.minus]) if claim.minus else 0.0
    return None if value is None or less is None else value - less


def _of_cells(rows: Sequence[Row], effect: Callable[[Row], float | None]) -> Measured:
    """Effects that each cell has by itself."""
    result: Measured = {}
    for row in rows:
        value = effect(row)
        if value is not None:
            result.setdefault(int(row["seed"]), {})[_point(row, (), _IDENTITY)] = value, [row]
    return result


def _difference(claim: Claim, rows: Sequence[Row], images: Images) -> Measured:
    compared = {*claim.a, *claim.b, *claim.tied}
    one_line = not any(key == "attack" or key.startswith("param:") for key in compared)  # both sides are of one attack as it stands
    shared = (*_IDENTITY, *claim.match) if one_line else claim.match
    sides: dict[tuple[int, Point], tuple[list[Row], list[Row]]] = {}
    for row in rows:
        pair = sides.setdefault((int(row["seed"]), _point(row, compared, shared)), ([], []))
        for side, wanted in zip(pair, (claim.a, claim.b), strict=True):
            if chosen(row, wanted) and _measured(claim, row) is not None:
                side.append(row)
    result: Measured = {}
    for (seed, point), (left, right) in sides.items():
        if left and right:
            a, b = ([value for row in side if (value := _measured(claim, row)) is not None] for side in (left, right))
            best = min if claim.expected == "below" else max
            effect = float(np.mean(a)) - (best(b) if claim.test == "beats" else float(np.mean(b)))
            result.setdefault(seed, {})[point] = effect, left + right
    return result


def _trend(claim: Claim, rows: Sequence[Row], images: Images) -> Measured:
    lines: dict[Point, dict[int, dict[float, list[tuple[float, Row]]]]] = {}
    for row in rows:
        x, y = _number(row[claim.along]), _measured(claim, row)
        if x is not None and x > 0 and y is not None:
            line = lines.setdefault(_point(row, {claim.along, *claim.tied}, _IDENTITY), {})
            line.setdefault(int(row["seed"]), {}).setdefault(x, []).append((y, row))
    result: Measured = {}
    for point, by_seed in lines.items():
        common = sorted(set.intersection(*(set(by_x) for by_x in by_seed.values())))  # no seed has a step that others lack
        if len(common) < 2:
            continue
        for seed, by_x in by_seed.items():
            means = [float(np.mean([y for y, _ in by_x[x]])) for x in common]
            slope = float(np.polynomial.polynomial.polyfit(np.log2(common), means, 1)[1])
            result.setdefault(seed, {})[point] = slope, [row for x in common for _, row in by_x[x]]
    return result


def concordance(runs: Sequence[Mapping[str, Any]]) -> float | None:
    """Of the pairs of runs with different hits (members less controls), the share in which the lower loss has more. In [0, 1].

    A run without a loss diverged: it counts as the highest. Equal losses count half. Runs that were not scored, as those that dropped out
    of a race, are in no pair. None: no pair differs.
    """
    runs = [run for run in runs if run.get("members") is not None]
    loss = np.array([math.inf if run.get("loss") is None else float(run["loss"]) for run in runs])
    excess = np.array([float(run.get("members") or 0) - float(run.get("controls") or 0) for run in runs])
    i, j = np.triu_indices(len(runs), 1)
    more = np.sign(excess[i] - excess[j])
    lower = (loss[i] < loss[j]).astype(float) - (loss[i] > loss[j])  # of infinities neither is lower
    differ = more != 0
    return float(((1 + lower * more) / 2)[differ].mean()) if differ.any() else None


def _concordance(claim: Claim, rows: Sequence[Row], images: Images) -> Measured:
    def effect(row: Row) -> float | None:
        try:
            runs = json.loads(row["sweep_runs"] or "[]")
        except ValueError:
            return None
        return concordance(runs) if isinstance(runs, list) else None

    return _of_cells(rows, effect)


Images = Callable[[str, str], Sides]  # two columns, of the rows that have the second


def correlations(claim: Claim, cell: str, images: Images) -> tuple[float | None, float | None]:
    """ρ of a cell's members, and of its controls; None where it cannot be told. A miss counts as 0, as in the medians of the scores."""
    both: list[float | None] = []
    for side in images(claim.column, claim.along).get(cell, ({}, {})):
        x, y = (side.get(name, np.empty(0)) for name in (claim.along, claim.column))
        both.append(spearman(np.abs(x) if claim.along == "multiplier" else x, np.nan_to_num(y)))
    return both[0], both[1]


def _margin(claim: Claim, rows: Sequence[Row], images: Images) -> Measured:
    def effect(row: Row) -> float | None:
        members, controls = correlations(claim, str(row["cell_id"]), images)
        if claim.along == "multiplier":
            return members
        return None if members is None or controls is None else members - controls

    return _of_cells(rows, effect)


_TESTS: dict[str, Callable[[Claim, Sequence[Row], Images], Measured]] = {
    "works": _works,
    "difference": _difference,
    "beats": _difference,
    "trend": _trend,
    "concordance": _concordance,
    "margin": _margin,
}


# --- findings -------------------------------------------------------------------------------------------------------------------------


def conditions(owner: str, claim: Claim) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """``where``, ``a`` and ``b`` with the attack filled in: the one that the claim is declared on, where none is chosen."""
    where, a, b = dict(claim.where), dict(claim.a), dict(claim.b)
    if "attack" not in where:
        if "attack" in a or "attack" in b:
            a, b = {"attack": owner} | a, {"attack": owner} | b
        else:
            where["attack"] = owner
    return where, a, b


def find(one: Declared, grid: str, rows: Sequence[Row], images: Images) -> Finding:
    """The effect of one claim at each seed of one grid.

    Args:
        rows: score rows of the grid, whatever their status.
        images: cuts up the image rows of the grid.
    """
    owner, claim = one.owner, one.claim
    wrong = faults(claim)
    if wrong:
        return Finding(owner, claim, grid, reason="; ".join(wrong), verdict=BROKEN)
    where, a, b = conditions(owner, claim)
    claim = replace(claim, where=where, a=a, b=b)
    mine = [row for row in rows if chosen(row, where)]
    if a:
        mine = [row for row in mine if chosen(row, a) or chosen(row, b)]
    scored = [row for row in mine if row["status"] == "ok" and row["seed"] is not None]
    if not scored:
        return Finding(owner, one.claim, grid, reason="no cell of this claim has scores" if mine else "", verdict=NO_ROWS)
    by_protocol = [(part, _TESTS[claim.test](claim, part, images)) for part in _by_protocol(scored)]
    every, (scored, measured) = len(scored), max(by_protocol, key=lambda pair: len(pair[1]))  # of equals the first, the latest
    if not measured:
        return Finding(owner, one.claim, grid, reason=_why_nothing(claim, scored), verdict=NO_ROWS)
    everywhere = set.intersection(*(set(points) for points in measured.values()))
    points = sorted(everywhere or set().union(*measured.values()), key=repr)
    values = {seed: float(np.mean([at[p][0] for p in points if p in at])) for seed, at in sorted(measured.items())}
    used = {id(row): row for at in measured.values() for p in points if p in at for row in at[p][1]}
    notes = [
        f"{n} {status}" for status, n in sorted(Counter(row["status"] for row in mine if row["status"] in ("failed", "timeout")).items())
    ]
    notes += [f"{every - len(scored)} cells of another score protocol left out"] if len(scored) < every else []
    notes += [] if everywhere else ["no point that all seeds have, so that they differ in more than the seed"]
    dropped = len(set().union(*measured.values())) - len(points)
    notes += [f"{dropped} of {dropped + len(points)} points left out, which some seed lacks"] if dropped else []
    return Finding(owner, one.claim, grid, values, ", ".join(notes), _beside(claim, list(used.values()), images))


def _by_protocol(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows by score protocol, the latest of each track first, then the one before it."""
    protocols: dict[str, set[int]] = {}
    for row in rows:
        protocols.setdefault(row["track"] or tracks.DEFAULT, set()).add(protocol_number(row["protocol"]))
    age = {track: {number: i for i, number in enumerate(sorted(found, reverse=True))} for track, found in protocols.items()}
    parts: dict[int, list[Row]] = {}
    for row in rows:
        parts.setdefault(age[row["track"] or tracks.DEFAULT][protocol_number(row["protocol"])], []).append(row)
    return [parts[i] for i in sorted(parts)]


def _why_nothing(claim: Claim, rows: Sequence[Row]) -> str:
    if claim.test in ("difference", "beats"):
        return "no row of the one side has a partner on the other"
    if claim.test == "trend":
        return f"fewer than two values of {claim.along} that all seeds have"
    if claim.test == "concordance":
        return "the rows hold no runs of a sweep that differ" if any(row["sweep_runs"] for row in rows) else "the rows hold no sweep"
    return f"the rows hold no {claim.along if claim.test == 'margin' else claim.column}"


def _beside(claim: Claim, rows: Sequence[Row], images: Images) -> str:
    """The two shares that the headline of the rows' track is made of, over all cells of the test; of the two sides apart."""
    sides = [[row for row in rows if chosen(row, part)] for part in (claim.a, claim.b)] if claim.a else [list(rows)]
    text = " against ".join(_shares(side) for side in sides)
    if claim.test == "margin":
        both = [correlations(claim, str(row["cell_id"]), images) for row in rows]
        means = [[value for value in side if value is not None] for side in zip(*both, strict=True)]
        shown = [f"{np.mean(side):+.2f}".replace("-", "−") if side else "none" for side in means]
        text += f"; ρ {shown[0]} : {shown[1]}"
    return text


def _shares(side: Sequence[Row]) -> str:
    """Hits of how many, for members and controls; where the track tells its shares in per cent, their means."""
    headlines = {tracks.of_row(name).headline for name in {row["track"] for row in side}}
    headline = next(iter(headlines)) if len(headlines) == 1 else EXCESS_RECALL
    texts = []
    for share in (headline.share, headline.less):
        if share is None or any(row[share.column] is None for row in side):
            return NONE
        if headline.per_cent:
            texts.append(f"{100 * np.mean([float(row[share.column]) for row in side]):.1f} %")
            continue
        found = counts(side, share)
        if found is None or not found[1].all():
            return NONE
        texts.append(f"{found[0].sum()}/{found[1].sum()}")
    return f"{headline.per_cent} {' : '.join(texts)}".strip()


def judge(findings: Sequence[Finding]) -> list[Finding]:
    """The findings with interval, p-value, correction over all that were tested, verdict, and seeds that would decide."""
    tested = [i for i, one in enumerate(findings) if len(one.values) > 1]
    means = {i: one_mean(list(findings[i].values.values()), findings[i].claim.level) for i in tested}
    corrected = dict(zip(tested, holm([means[i][1] for i in tested]), strict=True))
    undecided = sum(p > ALPHA for p in corrected.values())
    result = []
    for i, one in enumerate(findings):
        if not one.values:
            result.append(one)
        elif i not in means:
            reason = ", ".join(part for part in ("a single seed", one.reason) if part)
            effect, _ = one_mean(list(one.values.values()))
            result.append(replace(one, verdict=INCONCLUSIVE, effect=effect, reason=reason))
        else:
            effect, p = means[i]
            if one.claim.test == "concordance":  # a share, which the t interval does not know
                effect = Interval(effect.estimate, max(0.0, effect.low), min(1.0, effect.high))
            decided = corrected[i] <= ALPHA
            more = None
            if not decided:
                needed = seeds_needed(list(one.values.values()), one.claim.level, ALPHA / undecided)
                more = None if needed is None else max(1, needed - len(one.values))
            verdict = _verdict(one.claim, effect.estimate) if decided else INCONCLUSIVE
            result.append(replace(one, verdict=verdict, effect=effect, p=p, corrected=corrected[i], more=more))
    return result


def _verdict(claim: Claim, estimate: float) -> str:
    above = estimate > claim.level
    if claim.expected == "either":
        return claim.words[0] if above else claim.words[1]
    return REPRODUCED if above == (claim.expected == "above") else CONTRADICTED


def findings(scores: pd.DataFrame, images: pd.DataFrame, claims: Sequence[Declared]) -> list[Finding]:
    """Every claim in each of its grids, judged, in the order of the claims. The order of the rows changes nothing."""
    by_grid = {}
    for name, rows in scores.groupby("grid"):
        mine = images[images["cell_id"].isin(rows["cell_id"])] if len(images) else images
        by_grid[str(name)] = in_grid(str(name), rows, mine, claims)
    return gathered(claims, by_grid)


def in_grid(grid: str, rows: pd.DataFrame, images: pd.DataFrame, claims: Sequence[Declared]) -> dict[int, Finding]:
    """What comes of the claims that are about one grid, by their place among all; not judged yet.

    Args:
        rows, images: those of the grid.
    """
    about = [i for i, one in enumerate(claims) if grid in _grids(one.claim, {grid})]
    if not about:
        return {}
    cut = functools.cache(lambda column, along: by_cell(images, (column, along), known=along))
    lines = _records(rows)
    return {i: find(claims[i], grid, lines, cut) for i in about}


def gathered(claims: Sequence[Declared], by_grid: Mapping[str, Mapping[int, Finding]]) -> list[Finding]:
    """Judged, in the order of the claims, what ``in_grid`` found in the grids that have rows.

    A larger scale of a grid has a line of its own where it has rows. Of two claims of one name the second is broken.
    """
    seen: set[str] = set()
    result = []
    for i, one in enumerate(claims):
        twice = str(one.claim.name) in seen
        seen.add(str(one.claim.name))
        for grid in _grids(one.claim, by_grid):
            found = by_grid[grid][i] if grid in by_grid else find(one, grid, [], lambda *_: {})
            if found.verdict == NO_ROWS and not found.reason and grid not in one.claim.grids:
                continue  # a larger scale need not have the lines that the claim is about
            result.append(replace(found, verdict=BROKEN, values={}, reason="another claim has this name") if twice else found)
    return judge(result)


def _grids(claim: Claim, present: Iterable[str]) -> Iterable[str]:
    """The grids of a claim, and behind each its larger scales that have rows; a declaration that names none gets one line to say so."""
    for name in claim.grids if isinstance(claim.grids, tuple) and claim.grids else ("",):
        yield str(name)
        yield from (larger for scale in SCALES if (larger := f"{name}_{scale}") in present)
