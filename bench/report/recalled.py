"""What was seen of grids when pages were made before, so that a page that is made of all grids reads those alone that changed.

It is kept under ``home()/pages``, a file a grid, under a hash of all that it was worked out of: rows, files of image rows, claims and code.
The file begins with a hash of both. So one that is missing, damaged, or of anything else says nothing, and the grid is seen afresh.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from bench import tracks
from bench.claims import declarations
from bench.claims.declarations import Declared
from bench.claims.verdicts import Finding, Line, Shares
from bench.errors import BenchError
from bench.metrics.intervals import Interval
from bench.report import same_code
from bench.report.grid import Grid, Seen
from bench.report.kit.groups import Group

LINE = (  # what the leaderboard shows
    "grid", "section", "axis", "axis_index", "track", "protocol", "attack", "variant", "role", "access", "setting", "missed", "flagged",
    "submitted",
)  # fmt: skip
BY_SEED = ("per_seed", "share", "null")  # which JSON has no keys for


def keys(scores: pd.DataFrame, grids: Sequence[Grid]) -> dict[str, str]:
    """For each grid's slug a hash of all that is seen of it is worked out of.

    Args:
        scores: the rows of all grids, as `load_scores` gives them.
    """
    import pyarrow as pa

    table = pa.Table.from_pandas(scores, preserve_index=False)  # its schema tells pandas' types too, which pages show
    files = {path: hashlib.sha256(path.read_bytes()).digest() for path in {path for grid in grids for path in grid.files}}
    code = same_code.code() + declarations.fingerprint().encode()
    found = {}
    for grid in grids:
        digest, rows, sink = hashlib.sha256(code), table.take(pa.array(grid.rows.index)), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        digest.update(sink.getvalue())
        for path in grid.files:
            digest.update(files[path])
        found[grid.slug] = digest.hexdigest()
    return found


def recall(folder: Path, grid: Grid, key: str) -> Seen | None:
    """What was seen of the grid by that key; its lines without what the leaderboard does not show."""
    with suppress(OSError, BenchError, UnicodeDecodeError):
        digest, _, text = _place(folder, grid).read_text(encoding="utf-8").partition("\n")
        if digest == _digest(key, text):
            said = json.loads(text)
            return Seen(said["mark"], _groups(said["groups"]), {one[0]: _finding(one, grid.claims) for one in said["findings"]})
    return None


def keep(folder: Path, grid: Grid, key: str, seen: Seen) -> None:
    """For `recall`."""
    groups = [
        {**{name: getattr(one, name) for name in (*LINE, "excess")}, **{name: [*getattr(one, name).items()] for name in BY_SEED},
         "counted": {side: [*at.items()] for side, at in one.counted.items()}} for one in seen.groups
    ]  # fmt: skip
    findings = [[i, one.grid, _lines(one), one.reason, one.verdict] for i, one in seen.findings.items()]
    text = json.dumps({"mark": seen.mark, "groups": groups, "findings": findings})
    with suppress(OSError, BenchError):  # a home that cannot be written
        place = _place(folder, grid)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{_digest(key, text)}\n{text}", encoding="utf-8")


def _place(folder: Path, grid: Grid) -> Path:
    return same_code.note(folder, ".grids") / f"{grid.slug}.json"


def _digest(key: str, text: str) -> str:
    return hashlib.sha256(f"{key}\n{text}".encode()).hexdigest()


def _groups(said: Sequence[dict[str, Any]]) -> list[Group]:
    headlines = {name: tracks.of_row(name).headline for name in {one["track"] for one in said}}  # looking one up reads folders
    nothing: dict[str, Any] = {"seeds": [], "counts": Counter(), "reasons": []}
    by_seed: list[dict[str, Any]] = [{name: dict(one[name]) for name in BY_SEED} for one in said]
    return [
        Group(
            **{name: one[name] for name in LINE},
            **nothing,
            **mine,
            headline=headlines[one["track"]],
            excess=one["excess"] and Interval(*one["excess"]),
            counted={side: {seed: (hits, n) for seed, (hits, n) in at} for side, at in one["counted"].items()},
        )
        for one, mine in zip(said, by_seed, strict=True)
    ]


def _pairs(shares: list[Any]) -> Shares:
    added, taken = ([(hits, n) for hits, n in side] for side in shares)
    return added, taken


def _lines(one: Finding) -> list[Any]:
    return [[name, [*line.values.items()], line.beside, line.shares] for name, line in one.lines.items()]


def _finding(said: list[Any], claims: Sequence[Declared]) -> Finding:
    i, grid, lines, reason, verdict = said
    known = {name: Line(dict(values), beside, shares and _pairs(shares)) for name, values, beside, shares in lines}
    return Finding(claims[i].owner, claims[i].claim, grid, known, reason, verdict)
