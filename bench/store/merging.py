"""Merging the rows of several stores and results folders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from bench.api import Row
from bench.errors import BenchError
from bench.files import Folder, files_at, is_uri, shown
from bench.schema import COST_COLUMNS, PROVENANCE_COLUMNS, SCORE_KEY, SCORES, TEXT, to_table
from bench.store.parts import Store
from bench.store.published import SCORES_FILE, load_tables, locked, write_results
from bench.store.tables import latest_images, take

OnConflict = Literal["last", "best", "refuse"]


@dataclass
class Merged:
    """What a merge did."""

    rows: int  # score rows in the result
    images: int  # image rows in the result
    added: int  # keys that were new
    replaced: list[tuple[str, str]] = field(default_factory=list)  # keys on which the sources differed and another row won


def merge(paths: Sequence[Path | str], into: Path | str, on_conflict: OnConflict = "last") -> Merged:
    """Merges stores and results folders into a results folder (or, where ``into`` is a store or a URI, into that store).

    Args:
        paths: results folders, stores, or homes with a ``rows`` folder in them; the last two by path or by URI.
        into: what is there takes part in the merge. A URI with nothing in it yet becomes a store.
        on_conflict: for one key with different scores: ``last`` keeps the row finished last, ``best`` the higher excess recall
            (ok before anything else), ``refuse`` raises and changes nothing.

    Raises:
        BenchError: a path that is neither, a conflict under ``refuse``, or whatever reading and writing raise.
    """
    if on_conflict not in ("last", "best", "refuse"):
        raise BenchError(
            "unknown way to settle conflicts", expected="last, best or refuse", got=repr(on_conflict), hint="--on-conflict last"
        )
    sources = [(shown(path), *_source(path)) for path in paths]
    store = _store(into) or (Store(files_at(into).within("rows")) if isinstance(into, str) and is_uri(into) else None)
    base = (store.scores(), store.pictures()) if store is not None else load_tables(Path(into))
    winner: dict[tuple[str, str], tuple[Row, int]] = {(row["grid"], row["cell_id"]): (row, -1) for row in base[0].to_pylist()}
    added, replaced = 0, []
    for position, (place, scores, _) in enumerate(sources):
        for row in scores.to_pylist():
            key = (row["grid"], row["cell_id"])
            if key not in winner:
                winner[key] = (row, position)
                added += 1
                continue
            current = winner[key][0]
            if _same_scores(row, current):
                continue
            if on_conflict == "refuse":
                raise BenchError(
                    f"two sources differ on cell {key[1]} of grid '{key[0]}'",
                    expected="the same scores",
                    got=f"excess recall {current['excess_recall']} ({current['status']}), "
                    f"and {row['excess_recall']} ({row['status']}) in {place}",
                    hint="merge with --on-conflict last or best",
                )
            if _beats(row, current, on_conflict):
                winner[key] = (row, position)
                replaced.append(key)
    taken = [(row, position) for row, position in winner.values() if position >= 0]
    images = [base[1]]
    for position, (_, _, table) in enumerate(sources):
        cells = pa.array([row["cell_id"] for row, p in taken if p == position], TEXT)
        images.append(table.filter(pc.is_in(table["cell_id"], cells)))
    fresh, fresh_images = to_table([row for row, _ in taken], "scores"), latest_images(images[1:])
    if store is None:
        with locked(Path(into)):
            write_results(Path(into), _superseded_keys(base[0], fresh), base[1], fresh, fresh_images)
    elif on_conflict == "best" and replaced:
        raise BenchError(
            "a store keeps the row finished last",
            expected="--on-conflict last or refuse",
            got="best",
            hint="merge into a results folder",
        )
    else:
        store.append(fresh.to_pylist(), fresh_images.to_pylist())
    return Merged(len(winner), base[1].num_rows + fresh_images.num_rows, added, replaced)


def _superseded_keys(old: pa.Table, fresh: pa.Table) -> pa.Table:
    taken = set(zip(*(fresh[name].to_pylist() for name in SCORE_KEY), strict=True))
    keys = zip(*(old[name].to_pylist() for name in SCORE_KEY), strict=True)
    return take(old, [i for i, key in enumerate(keys) if key not in taken])


def _same_scores(a: Row, b: Row) -> bool:
    skip = {*COST_COLUMNS, *PROVENANCE_COLUMNS, "schema_version"}
    return all(a[c.name] == b[c.name] for c in SCORES if c.name not in skip)


def _beats(row: Row, current: Row, on_conflict: OnConflict) -> bool:
    def rank(r: Row) -> tuple[Any, ...]:
        finished = r["finished_at"] or datetime.min.replace(tzinfo=timezone.utc)
        if on_conflict == "last":
            return (finished,)
        excess = r["excess_recall"]
        return (r["status"] == "ok", -math.inf if excess is None else excess, finished)

    return rank(row) >= rank(current)


def _store(where: Path | str) -> Store | None:
    """The store at a place, which has part files or a ``rows`` folder of them; None where there is a results folder, or nothing."""
    files = files_at(where)
    names = {file.name for file in files.listing()}
    if SCORES_FILE in names:
        return None
    if any(name.startswith(("scores-", "images-")) and name.endswith(".parquet") for name in names):
        return Store(files)
    rows = files.within("rows")
    return Store(rows) if rows.exists() else None


def _source(where: Path | str) -> tuple[pa.Table, pa.Table]:
    store = _store(where)
    if store is not None:
        return store.scores(), store.pictures()
    files = files_at(where)
    if isinstance(files, Folder) and (files.path / SCORES_FILE).exists():
        return load_tables(files.path)
    raise BenchError(
        f"nothing to merge at {shown(where)}",
        expected=f"a store (.reconbench, or a URI such as s3://bucket/prefix), or a results folder of this machine (with {SCORES_FILE})",
        got="a folder without either" if files.exists() else "no such folder",
        hint="check the path",
    )
