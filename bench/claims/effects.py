"""The effect that a claim speaks of, at each seed and each point of the setting.

The unit is the seed: it draws the images and the initial weights, and cells of one seed share them. At each seed the effect is taken at
every point of the setting by itself (each data set, each value of the other axes), paired where two lines are compared; the mean over the
points is the seed's value. Points that some seed lacks are left out for all seeds, so that seeds differ in the seed alone.

========================  ==============================================================================================================
test                      a seed's value at a point
========================  ==============================================================================================================
``works``                 a column of the score row, less that of each control of the same setting, control by control
``level``                 a column of the score row
``difference``            mean of the column over the rows chosen by ``a``, less the mean over those chosen by ``b``
``beats``                 the same, less each single line chosen by ``b``, line by line
``interaction``           the ``difference`` in one circumstance, less that in the other
``trend``                 slope of the column by the logarithm to base 2 of the setting column ``along``; zeros have no place on it
``concordance``           of the pairs of runs of a sweep with different hits (members less controls), the share in which the run with the
                          lower loss has more; a run that diverged has the highest loss, equal losses count half
``margin``                Spearman's rank correlation of an image column with the image's margin, so with its distance to the least one,
                          over the members, less the same over the controls; with the size of the multiplier over the members alone,
                          for controls have none
========================  ==============================================================================================================

Of a column, another of the same row is taken off first where ``minus`` names one. What a claim may say is in ``bench.api.Claim``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.api import Claim, Row
from bench.claims.choose import chosen, number, value_of
from bench.report.kit.correlation import spearman
from bench.report.kit.groups import SETTING
from bench.report.kit.rows import Sides

_IDENTITY = ("attack", "attack_params", "sweep")

Point = tuple[Any, ...]
Measured = dict[int, dict[Point, tuple[float, list[Row]]]]  # seed → point → effect, and the rows that it is made of
Compared = dict[str, Measured]  # by what is compared with; "" if it has no name


def point_of(row: Row, without: Iterable[str], also: Iterable[str] = ()) -> Point:
    """All that a row's track and setting hold, less the columns that a test compares."""
    left_out = set(without)
    return tuple(row[name] for name in ("track", *SETTING) if name not in left_out) + tuple(str(value_of(row, name)) for name in also)


def _level(claim: Claim, rows: Sequence[Row], images: Images) -> Compared:
    return _of_cells(rows, lambda row: measured_of(claim, row))


def measured_of(claim: Claim, row: Row) -> float | None:
    """The claim's column, less another of the same row."""
    value, less = number(row[claim.column]), number(row[claim.minus]) if claim.minus else 0.0
    return None if value is None or less is None else value - less


def _of_cells(rows: Sequence[Row], effect: Callable[[Row], float | None]) -> Compared:
    """Effects that each cell has by itself."""
    result: Measured = {}
    for row in rows:
        value = effect(row)
        if value is not None:
            result.setdefault(int(row["seed"]), {})[point_of(row, (), _IDENTITY)] = value, [row]
    return {"": result} if result else {}


def _difference(claim: Claim, rows: Sequence[Row], images: Images) -> Compared:
    result = _paired(claim, *_sides(claim, rows), _compared_columns(claim))
    return {"": result} if result else {}


def _sides(claim: Claim, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    a, b = ([row for row in rows if chosen(row, part)] for part in (claim.a, claim.b))
    return a, b


def _compared_columns(claim: Claim) -> set[str]:
    return {*claim.a, *claim.b, *claim.tied, *(key for part in claim.across for key in part)}


def _paired(claim: Claim, a: Sequence[Row], b: Sequence[Row], compared: set[str]) -> Measured:
    """The mean over the rows of the one side less that over the rows of the other, where both are there.

    Args:
        compared: columns in which the two may differ.
    """
    one_line = not any(key == "attack" or key.startswith("param:") for key in compared)  # both sides are of one attack as it stands
    shared = (*_IDENTITY, *claim.match) if one_line else claim.match
    sides: dict[tuple[int, Point], tuple[list[Row], list[Row]]] = {}
    for place, rows in enumerate((a, b)):
        for row in rows:
            if measured_of(claim, row) is not None:
                sides.setdefault((int(row["seed"]), point_of(row, compared, shared)), ([], []))[place].append(row)
    result: Measured = {}
    for (seed, point), (left, right) in sides.items():
        if left and right:
            ours, theirs = ([value for row in side if (value := measured_of(claim, row)) is not None] for side in (left, right))
            result.setdefault(seed, {})[point] = float(np.mean(ours)) - float(np.mean(theirs)), left + right
    return result


def _beats(claim: Claim, rows: Sequence[Row], images: Images) -> Compared:
    """Beside each line of ``b`` by itself: which one is the strongest is no choice of one seed."""
    return _line_by_line(claim, rows, _compared_columns(claim))


def _line_by_line(claim: Claim, rows: Sequence[Row], compared: set[str]) -> Compared:
    ours, theirs = _sides(claim, rows)
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in theirs:
        if not chosen(row, claim.a):  # a control that is claimed to work does not face itself
            lines.setdefault((str(row["attack"]), f"{row['attack_params'] or '{}'}{row['sweep'] or ''}"), []).append(row)
    named = Counter(attack for attack, _ in lines)
    result: Compared = {}
    for (attack, params), line in sorted(lines.items()):
        if measured := _paired(claim, ours, line, compared):
            result[attack if named[attack] == 1 else f"{attack} {params}"] = measured
    return result


def _works(claim: Claim, rows: Sequence[Row], images: Images) -> Compared:
    result = _line_by_line(claim, rows, {*claim.tied, "attack"})

    def beside_null(row: Row) -> float | None:
        value, null = measured_of(claim, row), number(row[claim.null])
        return None if value is None or null is None else value - null

    if claim.null and (measured := _of_cells([row for row in rows if chosen(row, claim.a)], beside_null)):
        result[claim.null] = measured[""]
    return result


def _interaction(claim: Claim, rows: Sequence[Row], images: Images) -> Compared:
    compared = _compared_columns(claim)
    first, second = (_paired(claim, *_sides(claim, [row for row in rows if chosen(row, part)]), compared) for part in claim.across)
    result: Measured = {}
    for seed in set(first) & set(second):
        for point in set(first[seed]) & set(second[seed]):
            (one, of_one), (other, of_other) = first[seed][point], second[seed][point]
            result.setdefault(seed, {})[point] = one - other, of_one + of_other
    return {"": result} if result else {}


def _trend(claim: Claim, rows: Sequence[Row], images: Images) -> Compared:
    lines: dict[Point, dict[int, dict[float, list[tuple[float, Row]]]]] = {}
    for row in rows:
        x, y = number(row[claim.along]), measured_of(claim, row)
        if x is not None and x > 0 and y is not None:
            line = lines.setdefault(point_of(row, {claim.along, *claim.tied}, _IDENTITY), {})
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
    return {"": result} if result else {}


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


def _concordance(claim: Claim, rows: Sequence[Row], images: Images) -> Compared:
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


def _margin(claim: Claim, rows: Sequence[Row], images: Images) -> Compared:
    def effect(row: Row) -> float | None:
        members, controls = correlations(claim, str(row["cell_id"]), images)
        if claim.along == "multiplier":
            return members
        return None if members is None or controls is None else members - controls

    return _of_cells(rows, effect)


TESTS: dict[str, Callable[[Claim, Sequence[Row], Images], Compared]] = {
    "works": _works,
    "level": _level,
    "difference": _difference,
    "beats": _beats,
    "interaction": _interaction,
    "trend": _trend,
    "concordance": _concordance,
    "margin": _margin,
}
