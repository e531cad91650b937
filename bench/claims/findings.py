"""What came of each claim in each of its grids: the effect at every seed, beside all that it is compared with, and what is left out.

Where a grid holds no control with scores, nothing is claimed on it, whatever the test. Scores of two protocols of a track are never
compared: of rows of several, a claim has those by which most seeds tell, the latest first. Effects are in ``bench.claims.effects``,
verdicts in ``bench.claims.verdicts``.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bench.api import Claim, Row
from bench.claims.beside import beside, counted
from bench.claims.choose import by_protocol, chosen, sorted_records
from bench.claims.declarations import Declared, faults
from bench.claims.effects import TESTS, Compared, Images, Measured, Point, measured_of, point_of
from bench.claims.verdicts import BROKEN, NO_CONTROL, NO_ROWS, Finding, Line, judge
from bench.metrics.intervals import SAME
from bench.report.kit.rows import by_cell

SCALES = ("mnist", "tiles", "medium", "paper500", "full")  # of our grids: rows there have the scale behind the name of the grid
CONTROL = "control"


def conditions(owner: str, claim: Claim) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """``where``, ``a`` and ``b`` with the attack filled in: the one that the claim is declared on, where none is chosen.

    Of the test ``works`` the attack's rows are ``a`` and the controls ``b``: what ``where`` asks for is what tells the attack's rows.
    """
    where, a, b = dict(claim.where), dict(claim.a), dict(claim.b)
    if claim.test == "works":
        return {}, {"attack": owner} | where, {"role": CONTROL} | b
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
    among = [row for row in rows if chosen(row, where)]
    ours = [row for row in among if chosen(row, a) or (claim.test != "works" and chosen(row, b))] if a else among
    if not any(_scored(row) for row in ours):
        return Finding(owner, one.claim, grid, reason="no cell of this claim has scores" if ours else "", verdict=NO_ROWS)
    if not any(row["role"] == CONTROL and _scored(row) for row in rows):
        return Finding(owner, one.claim, grid, reason="the grid holds no control with scores", verdict=NO_CONTROL)
    every = [row for row in among if _scored(row) and (not a or chosen(row, a) or chosen(row, b))]
    each = [(part, {name: one for name, one in TESTS[claim.test](claim, part, images).items() if one}) for part in by_protocol(every)]
    scored, found = max(each, key=lambda pair: max(map(len, pair[1].values()), default=0))  # of equals the first, the latest
    if not found:
        verdict = NO_CONTROL if claim.test == "works" and _measurable(claim, scored) else NO_ROWS
        return Finding(owner, one.claim, grid, reason=_why_nothing(claim, scored), verdict=verdict)
    failed = Counter(row["status"] for row in ours if row["status"] in ("failed", "timeout"))
    notes = [f"{n} {status}" for status, n in sorted(failed.items())]
    notes += [f"{len(every) - len(scored)} cells of another score protocol left out"] if len(scored) < len(every) else []
    lines = {name: _line(claim, measured, images) for name, measured in found.items()}
    return Finding(owner, one.claim, grid, lines, ", ".join([*notes, *_gaps(claim, scored, found)]))


def _scored(row: Row) -> bool:
    return row["status"] == "ok" and row["seed"] is not None


def _measurable(claim: Claim, rows: Sequence[Row]) -> bool:
    return any(chosen(row, claim.a) and measured_of(claim, row) is not None for row in rows)


def _points(measured: Measured) -> tuple[list[Point], bool]:
    """The points that count: those of all seeds; if there is none, all, and False."""
    everywhere = set.intersection(*(set(points) for points in measured.values()))
    return sorted(everywhere or set().union(*measured.values()), key=repr), bool(everywhere)


def _line(claim: Claim, measured: Measured, images: Images) -> Line:
    points, _ = _points(measured)
    values = {seed: float(np.mean([at[p][0] for p in points if p in at])) for seed, at in sorted(measured.items())}
    used = {id(row): row for at in measured.values() for p in points if p in at for row in at[p][1]}
    rows = list(used.values())
    same = max(values.values()) - min(values.values()) < SAME
    return Line(values, beside(claim, rows, images), counted(claim, rows) if same else None)


def _gaps(claim: Claim, rows: Sequence[Row], found: Compared) -> list[str]:
    """What is left out: points that some seed lacks, and of controls the points and seeds at which they are not there."""
    told: dict[str, list[str]] = {}
    whole: Compared = {"": {}}
    if claim.test == "works":
        mine = [row for row in rows if chosen(row, claim.a) and measured_of(claim, row) is not None]
        for row in mine:
            whole[""].setdefault(int(row["seed"]), {})[point_of(row, (*claim.tied, "attack"))] = 0.0, [row]
    for name, measured in found.items():
        points, everywhere = _points(measured)
        if not everywhere:
            told.setdefault("no point that all seeds have, so that they differ in more than the seed", []).append(name)
        dropped = len(set().union(*measured.values())) - len(points)
        if dropped:
            told.setdefault(f"{dropped} of {dropped + len(points)} points left out, which some seed lacks", []).append(name)
        if claim.test == "works" and name != claim.null:
            n, of = len(set().union(*measured.values())), len(set().union(*whole[""].values()))
            if n < of:
                told.setdefault(f"at {n} of {of} points only", []).append(name)
            if len(measured) < len(whole[""]):
                told.setdefault(f"at {len(measured)} of {len(whole[''])} seeds only", []).append(name)
    return [text if len(names) == len(found) else f"{', '.join(names)}: {text}" for text, names in told.items()]


def _why_nothing(claim: Claim, rows: Sequence[Row]) -> str:
    if claim.test == "works" and _measurable(claim, rows):
        return "no control has scores at a setting of the claim"
    if claim.test == "interaction":
        return "no setting has both sides in both circumstances"
    if claim.test in ("difference", "beats"):
        return "no row of the one side has a partner on the other"
    if claim.test == "trend":
        return f"fewer than two values of {claim.along} that all seeds have"
    if claim.test == "concordance":
        return "the rows hold no runs of a sweep that differ" if any(row["sweep_runs"] for row in rows) else "the rows hold no sweep"
    return f"the rows hold no {claim.along if claim.test == 'margin' else claim.column}"


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
    lines = sorted_records(rows)
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
            result.append(replace(found, verdict=BROKEN, lines={}, reason="another claim has this name") if twice else found)
    return judge(result)


def _grids(claim: Claim, present: Iterable[str]) -> Iterable[str]:
    """The grids of a claim, and behind each its larger scales that have rows; a declaration that names none gets one line to say so."""
    for name in claim.grids if isinstance(claim.grids, tuple) and claim.grids else ("",):
        yield str(name)
        yield from (larger for scale in SCALES if (larger := f"{name}_{scale}") in present)
