"""One verification: the grid on blind targets, its answers scored again, its numbers beside public ones, a verdict for each attack.

The salt is held while blind targets are there, and no longer. Public cells that have no rows yet are run in the ordinary store.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bench import tracks
from bench.apart.room import Room
from bench.data import blind
from bench.engine import run as engine
from bench.engine import stored
from bench.engine.plan import Plan, plan
from bench.engine.progress import Progress
from bench.engine.rescore import setting_of
from bench.grids.read import Loaded
from bench.report.kit.rows import records
from bench.report.kit.transplants import FLAG, met
from bench.store import load_scores
from bench.store.verified import FAILED, FLAGGED, Verified
from bench.verify import verdict
from bench.verify.again import disagreement, scored_again
from bench.verify.blinded import blinded, sighted
from bench.verify.folder import own_folder
from bench.verify.verdict import Judged, judged

Row = dict[str, Any]
Version = tuple[str, str]  # of the attack, and of the score protocol
Line = tuple[str, str, str, str]  # attack, parameters, sweep, setting: what public and blind rows have in common


@dataclass(frozen=True)
class How:
    """Where and in what room cells run, as ``engine.run`` takes it."""

    device: torch.device
    jobs: int = 1
    timeout: float | None = None
    memory_gib: float | None = None
    room: Room | None = None  # where attacks run apart


@dataclass
class Verification:
    """What came of it."""

    salt_digest: str
    lines: list[tuple[Row, Judged | None]] = field(default_factory=list)  # the first row of each line; controls are not judged
    rows: list[Verified] = field(default_factory=list)
    kept: str = ""  # the store, where it was to stay
    interrupted: bool = False
    left: int = 0  # cells that a spent budget left to run

    def verdicts(self) -> dict[str, str]:
        """By attack, over all its settings."""
        names = dict.fromkeys(row.attack for row in self.rows)
        return {name: verdict.worst([row.verdict for row in self.rows if row.attack == name]) for name in names}


def verify(
    loaded: Loaded, salt: str, how: How, published: Path, progress: Progress, brought: Sequence[str] = (), keep: bool = False
) -> Verification:
    """Runs a grid on blind targets and judges its attacks.

    Args:
        loaded: the grid as public rows have it, with the attacks to be judged and controls.
        salt: which the environment should not have meanwhile (`blind.taken`).
        published: the results folder whose rows are the public ones, before those of the store.
        brought: attacks of plug-in files. Where answers scored again give other numbers, one of these is to blame.
        keep: leave the store of the blind targets.

    Raises:
        BenchError: a salt that can be guessed, data that are not here, a store that cannot be written.
    """
    with blind.holding(salt), own_folder(keep) as folder:
        found = Verification(blind.salt_digest(), kept=str(folder) if keep else "")
        planned, summary = _run(blinded(loaded), how, progress)
        found.interrupted, found.left = summary.interrupted, summary.left
        if found.interrupted:
            return found
        before = _rows(planned)
        after, missing = scored_again(folder, planned.grid, salt)
    faults = {row["cell_id"]: _fault(row, after, missing) for row in before if row["status"] == "ok"}
    told = [{**row, **_numbers(after.get(row["cell_id"]), row)} for row in before]
    mine = _by_line(told)
    versions = {line: _version(rows[0]) for line, rows in mine.items() if rows[0]["role"] == "attack"}
    public = _public(loaded, how, published, progress, versions)
    settings = {name: sum(rows[0]["attack"] == name and rows[0]["role"] == "attack" for rows in mine.values()) for name, *_ in mine}
    for line, rows in mine.items():
        first = rows[0]
        if first["role"] != "attack":
            found.lines.append((_line(first, rows), None))
            continue
        fault = next((faults[row["cell_id"]] for row in rows if faults.get(row["cell_id"])), None)
        to_blame = first["attack"] in brought or not brought
        fault = (fault if to_blame else None) or _not_from_weights(rows)
        one = judged(public.get(line, []), rows, settings[first["attack"]], fault)
        found.lines.append((_line(first, rows), one))
        found.rows.append(_verified(line, rows, one, found.salt_digest))
    return found


def _run(loaded: Loaded, how: How, progress: Progress) -> tuple[Plan, engine.Summary]:
    rows = stored.store()
    planned = plan(loaded, stored.known(rows))
    return planned, engine.run(
        planned, rows, how.device, progress, memory_gib=how.memory_gib, jobs=how.jobs, timeout=how.timeout, room=how.room
    )


def _rows(planned: Plan) -> list[Row]:
    """The rows of a plan that the store has."""
    return records(stored.collect(planned, stored.store())[0])


def _by_line(rows: Iterable[Row]) -> dict[Line, list[Row]]:
    found: dict[Line, list[Row]] = {}
    for row in rows:
        found.setdefault((row["attack"], row["attack_params"] or "{}", row["sweep"] or "", _setting(row)), []).append(row)
    for mine in found.values():
        mine.sort(key=lambda row: int(row["seed"]))  # workers end in any order
    return found


def _setting(row: Mapping[str, Any]) -> str:
    """The fields of a row's setting that differ from the defaults, as JSON: the seed aside, and the data set by its public name."""
    setting = setting_of(row)
    setting = setting.model_copy(update={"seed": 0, "dataset": sighted(setting.dataset)})
    return json.dumps(setting.model_dump(mode="json", exclude_defaults=True) | {"dataset": setting.dataset}, sort_keys=True)


def _version(row: Mapping[str, Any]) -> Version:
    return row["attack_version"] or "", row["protocol"] or ""


def _public(loaded: Loaded, how: How, published: Path, progress: Progress, versions: Mapping[Line, Version]) -> dict[Line, list[Row]]:
    """The public rows of these lines, each of its version: those published, or else those of the store, run if need be."""

    def of(frame: pd.DataFrame) -> dict[Line, list[Row]]:
        frame = frame[(frame["grid"] == loaded.grid.name) & frame["attack"].isin([line[0] for line in versions])]
        found = {line: [row for row in rows if _version(row) == versions.get(line)] for line, rows in _by_line(records(frame)).items()}
        return {line: rows for line, rows in found.items() if rows}

    found = of(load_scores(published))
    enough = {line for line, rows in found.items() if sum(row["status"] == "ok" for row in rows) >= verdict.SEEDS}
    lacking = set(versions) - enough
    if lacking:
        names = {line[0] for line in lacking}
        specs = [spec for spec in loaded.grid.attacks if spec.name in names]
        planned, _ = _run(dataclasses.replace(loaded, grid=loaded.grid.model_copy(update={"attacks": specs})), how, progress)
        found |= {line: rows for line, rows in of(stored.collect(planned, stored.store())[0]).items() if line in lacking}
    return found


def _fault(row: Row, after: Mapping[str, Row], missing: Mapping[str, str]) -> tuple[str, str] | None:
    """The verdict, and why, on a row with scores whose answer cannot be scored again, or comes to other numbers then."""
    again = after.get(row["cell_id"])
    if again is None:
        why = next((reason for name, reason in missing.items() if row["cell_id"] in name), "no reason is known")
        return FAILED, f"its answer could not be scored again: {why}"
    other = disagreement(row, again, verdict.columns(tracks.of_row(row["track"]).headline))
    return (FLAGGED, other) if other else None


def _not_from_weights(rows: Sequence[Row]) -> tuple[str, str] | None:
    """The verdict, and why, on a line that finds members as well where the network is another seed's (``bench.engine.canary``)."""
    one = met(rows, tracks.of_row(rows[0]["track"]).headline)
    if one is None or not one.suspect:
        return None
    return FLAGGED, f"{FLAG}: on networks of other seeds it finds these members too, where chance has p = {one.p:.1g}"


def _numbers(again: Row | None, row: Row) -> Row:
    """What the fresh process says of a cell, as far as verdicts go by it."""
    if again is None:
        return {}
    headline = tracks.of_row(row["track"]).headline
    totals = [name for share in (headline.share, headline.less) if share is not None for name in share.of]
    return {name: again.get(name) for name in [*verdict.columns(headline), *totals]}


def unrun(rows: Sequence[Row], one: Judged, salt_digest: str) -> list[Verified]:
    """The rows of verified.csv of lines that were not run, for this reason.

    Args:
        rows: of cells, as far as they are known before anything runs.
    """
    return [_verified(line, mine, one, salt_digest) for line, mine in _by_line(rows).items()]


def _line(first: Row, rows: Sequence[Row]) -> Row:
    """A line as it is shown."""
    headline = tracks.of_row(first["track"]).headline
    values = [row[headline.column] for row in rows if row["status"] == "ok" and row[headline.column] is not None]
    return {**first, "blind": sum(values) / len(values) if values else None, "seeds": len(values), "setting": _setting(first)}


def _verified(line: Line, rows: Sequence[Row], one: Judged, salt_digest: str) -> Verified:
    first = rows[0]
    isolation = {row["isolation"] for row in rows if row.get("isolation")}  # none of a cell that was never attacked
    numbers = one.difference
    return Verified(
        attack=line[0],
        attack_version=first["attack_version"] or "",
        attack_source=first["attack_source"] or "",
        attack_params=line[1],
        sweep=line[2],
        grid=first["grid"],
        setting=line[3],
        track=first["track"] or tracks.DEFAULT,
        protocol=first["protocol"] or "",
        headline=tracks.of_row(first["track"]).headline.column,
        seeds=" ".join(str(row["seed"]) for row in rows),
        public=_number(one.public and one.public.estimate),
        blind=_number(one.blind and one.blind.estimate),
        difference=_number(numbers and numbers.estimate),
        low=_number(numbers and numbers.low),
        high=_number(numbers and numbers.high),
        verdict=one.verdict,
        reason=one.reason,
        isolation=", ".join(sorted(isolation)),
        salt_digest=salt_digest,
        code_version=first["code_version"] or "",
        date=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
