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
from bench.schema import COST_COLUMNS, PROVENANCE_COLUMNS, TEXT, columns, protocol_number, to_table
from bench.store.parts import Store
from bench.store.published import VERSION_KEY, has_results, load_tables, locked, write_results
from bench.store.tables import latest_images, latest_scores, take

OnConflict = Literal["last", "best", "refuse"]
Key = tuple[Any, ...]


@dataclass
class Merged:
    """What a merge did."""

    rows: int  # score rows in the result
    images: int  # image rows in the result
    added: int  # keys that were new
    replaced: list[tuple[Any, ...]] = field(default_factory=list)  # keys (grid, cell) on which the sources differed and another row won


def merge(paths: Sequence[Path | str], into: Path | str, on_conflict: OnConflict = "last") -> Merged:
    """Merges stores and results folders into a results folder (or, where ``into`` is a store or a URI, into that store).

    Args:
        paths: results folders, stores, or homes with a ``rows`` folder in them; the last two by path or by URI.
        into: what is there takes part in the merge. A URI with nothing in it yet becomes a store.
        on_conflict: for one key with different scores: ``last`` keeps the row finished last, ``best`` the higher excess recall
            (ok before anything else), each among rows of the latest score protocol, ``refuse`` raises and changes nothing.

    Raises:
        BenchError: a path that is neither, a conflict under ``refuse``, or whatever reading and writing raise.
    """
    if on_conflict not in ("last", "best", "refuse"):
        raise BenchError(
            "unknown way to settle conflicts", expected="last, best or refuse", got=repr(on_conflict), hint="--on-conflict last"
        )
    sources = [(shown(path), *_source(path)) for path in paths]
    store = _store(into) or (Store(files_at(into).within("rows")) if isinstance(into, str) and is_uri(into) else None)
    if store is not None:
        base = store.scores(), store.pictures()
        settled = _settle(base[0], sources, on_conflict)
        if on_conflict == "best" and settled.replaced:
            raise BenchError(
                "a store keeps the row finished last",
                expected="--on-conflict last or refuse",
                got="best",
                hint="merge into a results folder",
            )
        store.append(settled.fresh.to_pylist(), settled.images.to_pylist())
        return settled.told(base[1])
    # a cell that another version has computed again counts once, as in a results folder
    sources = [(place, latest_scores(scores, VERSION_KEY), images) for place, scores, images in sources]
    folder = Path(into)
    if on_conflict == "refuse":  # before anything is made
        _settle(load_tables(folder)[0], sources, on_conflict, versions=True)
    with locked(folder):  # others may have published since
        old, pictures = load_tables(folder)
        settled = _settle(old, sources, on_conflict, versions=True)
        mine = pc.is_in(pictures["cell_id"], settled.fresh["cell_id"].combine_chunks())
        pictures = pictures.filter(pc.invert(mine))  # image rows belong to their score row
        write_results(folder, settled.kept, pictures, settled.fresh, settled.images)
    return settled.told(pictures)


@dataclass
class _Settled:
    """What a merge comes to, before it is written."""

    kept: pa.Table  # score rows that were there and stay
    fresh: pa.Table  # score rows of the sources
    images: pa.Table  # their image rows
    added: int
    replaced: list[Key]

    def told(self, pictures: pa.Table) -> Merged:
        """In numbers; ``pictures`` are the image rows that were there."""
        return Merged(self.kept.num_rows + self.fresh.num_rows, pictures.num_rows + self.images.num_rows, self.added, self.replaced)


def _settle(base: pa.Table, sources: Sequence[tuple[str, pa.Table, pa.Table]], on_conflict: OnConflict, versions: bool = False) -> _Settled:
    """Which rows win. A row of a later score protocol beats those of earlier ones.

    Args:
        versions: a cell that another version of the attack or of the training code has computed under another id is the same cell, as it
            is when rows are published. A store keeps both.
    """
    keys = list(zip(base["grid"].to_pylist(), base["cell_id"].to_pylist(), strict=True))
    winner: dict[Key, tuple[Row, int]] = {key: (row, -1) for key, row in zip(keys, base.to_pylist(), strict=True)}
    others = {_version_key(row): key for key, (row, _) in winner.items()}
    added, replaced = 0, []
    for position, (place, scores, _) in enumerate(sources):
        for row in scores.to_pylist():
            key = (row["grid"], row["cell_id"])
            rival = key if key in winner else others.get(_version_key(row)) if versions else None
            if rival is None:
                winner[key] = (row, position)
                others[_version_key(row)] = key
                added += 1
                continue
            current = winner[rival][0]
            if rival == key and _same_scores(row, current):
                continue
            if on_conflict == "refuse":
                raise BenchError(
                    f"two sources differ on cell {key[1]} of grid '{key[0]}'"
                    + (f", by another version {rival[1]}" if rival != key else ""),
                    expected="the same scores",
                    got=f"excess recall {current['excess_recall']} ({current['status']}), "
                    f"and {row['excess_recall']} ({row['status']}) in {place}",
                    hint="merge with --on-conflict last or best",
                )
            if _beats(row, current, on_conflict):
                del winner[rival]
                winner[key] = (row, position)
                others[_version_key(row)] = key
                replaced.append(rival)
    taken = [(row, position) for row, position in winner.values() if position >= 0]
    images = []
    for position, (_, _, table) in enumerate(sources):
        cells = pa.array([row["cell_id"] for row, p in taken if p == position], TEXT)
        images.append(table.filter(pc.is_in(table["cell_id"], cells)))
    stay = [i for i, key in enumerate(keys) if key in winner and winner[key][1] == -1]
    return _Settled(take(base, stay), to_table([row for row, _ in taken], "scores"), latest_images(images), added, replaced)


def _version_key(row: Row) -> Key:
    """What versions of one cell have in common."""
    return tuple(row[name] for name in VERSION_KEY)


def _same_scores(a: Row, b: Row) -> bool:
    skip = {*COST_COLUMNS, *PROVENANCE_COLUMNS, "schema_version"}
    return all(a[c.name] == b[c.name] for c in columns("scores") if c.name not in skip)


def _beats(row: Row, current: Row, on_conflict: OnConflict) -> bool:
    def rank(r: Row) -> tuple[Any, ...]:
        finished = r["finished_at"] or datetime.min.replace(tzinfo=timezone.utc)
        protocol = protocol_number(r["protocol"])  # scores of two protocols are not compared
        if on_conflict == "last":
            return (protocol, finished)
        excess = r["excess_recall"]
        return (protocol, r["status"] == "ok", -math.inf if excess is None else excess, finished)

    return rank(row) >= rank(current)


def _store(where: Path | str) -> Store | None:
    """The store at a place, which has part files or a ``rows`` folder of them; None where there is a results folder, or nothing."""
    files = files_at(where)
    if isinstance(files, Folder) and has_results(files.path):
        return None
    names = {file.name for file in files.listing()}
    if any(name.startswith(("scores-", "images-")) and name.endswith(".parquet") for name in names):
        return Store(files)
    rows = files.within("rows")
    return Store(rows) if rows.exists() else None


def _source(where: Path | str) -> tuple[pa.Table, pa.Table]:
    store = _store(where)
    if store is not None:
        return store.scores(), store.pictures()
    files = files_at(where)
    if isinstance(files, Folder) and has_results(files.path):
        return load_tables(files.path)
    raise BenchError(
        f"nothing to merge at {shown(where)}",
        expected="a store (.reconbench, or a URI such as s3://bucket/prefix), or a results folder of this machine (with scores/)",
        got="a folder without either" if files.exists() else "no such folder",
        hint="check the path",
    )
