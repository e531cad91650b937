"""Where rows are kept, merged and published; their columns are in ``bench.schema``.

There are two places. A ``Store`` is a folder of small part files, one pair per append, each written whole or not at all, so that a
kill loses nothing that was finished and several writers can share it. A *results folder* holds ``scores.parquet`` and
``images/GRID.parquet``, which ``publish`` rewrites with fresh rows taking the place of older ones under the same key.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import secrets
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.api import Row
from bench.errors import BenchError
from bench.schema import (
    BYTES,
    COST_COLUMNS,
    IMAGE_KEY,
    IMAGES,
    PROTOCOL,
    PROVENANCE_COLUMNS,
    SCHEMA_VERSION,
    SCORE_KEY,
    SCORES,
    SETTING_COLUMNS,
    TABLES,
    TEXT,
    Column,
    describe_schema,
    empty,
    schema,
    setting_row,
    to_table,
)

__all__ = [
    "IMAGES", "IMAGE_KEY", "PROTOCOL", "SCHEMA_VERSION", "SCORES", "SCORE_KEY", "SETTING_COLUMNS", "Column", "CorruptFileWarning",
    "Merged", "Store", "atomic_write", "describe_schema", "empty", "load_results", "merge", "publish", "schema", "setting_row", "to_table",
]  # fmt: skip

SCORES_FILE = "scores.parquet"
IMAGES_FOLDER = "images"  # a file a grid
LARGEST = 950_000  # bytes of one such file
COMPACT_ABOVE = 64  # parts of one table before they are joined into one
LARGE_PART = 32 * 2**20  # bytes; parts above this are left alone by compaction, so that joining stays cheap

OnConflict = Literal["last", "best", "refuse"]


class CorruptFileWarning(UserWarning):
    """A part file could not be read and was set aside."""


# --- files ----------------------------------------------------------------------------------------------------------------------------


def atomic_write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: a temporary file beside it, fsync, rename.

    Raises:
        BenchError: the disk is full, or the folder cannot be written; an older file at the path is left as it was.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _cannot_write(path, error) from error
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable, where the system allows it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _cannot_write(path: Path, error: OSError) -> BenchError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BenchError(
            f"the disk is full: {path} was not written",
            expected="free space on the disk (or in the quota)",
            got=str(error),
            hint="free some space and run the same command again; finished cells are kept, an older file was left as it was",
        )
    return BenchError(
        f"cannot write {path}",
        expected="a folder that can be written",
        got=str(error),
        hint="check the permissions, or choose another folder with --out or RECONBENCH_HOME; finished cells are kept",
    )


def _serialise(table: pa.Table) -> bytes:
    """Parquet bytes: the same rows give the same bytes. Floats are kept as dictionaries, which rounding makes small."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="zstd", compression_level=9, use_dictionary=True, write_statistics=True, write_page_checksum=True
    )
    return sink.getvalue().to_pybytes()


def _check_version(file_schema: pa.Schema, path: Path) -> None:
    raw = (file_schema.metadata or {}).get(b"schema_version", b"1")
    try:
        version = int(raw)
    except ValueError:
        version = SCHEMA_VERSION
    if version > SCHEMA_VERSION:
        raise BenchError(
            f"{path} was written by a newer version of this program",
            expected=f"schema version {SCHEMA_VERSION} or older",
            got=f"schema version {version}",
            hint="update reconbench",
        )


class _CorruptError(Exception):
    """A file that is there but is no Parquet table of ours."""


def _read(path: Path, table: Literal["scores", "images"], columns: Sequence[str] | None = None) -> pa.Table:
    """Reads a file and brings it to the current schema: absent columns become null, unknown old ones are left out.

    Raises:
        FileNotFoundError: it is gone.
        BenchError: it may not be read, or it is of a newer schema version.
        _CorruptError: it is not readable as a table.
    """
    try:
        source = pa.BufferReader(path.read_bytes()) if path.stat().st_size < LARGE_PART else path
        file = pq.ParquetFile(source, page_checksum_verification=True)
        _check_version(file.schema_arrow, path)
        wanted = [c for c in TABLES[table] if columns is None or c.name in columns]
        present = set(file.schema_arrow.names)
        data = file.read(columns=[c.name for c in wanted if c.name in present])
        arrays = [data[c.name].cast(c.type) if c.name in present else pa.nulls(file.metadata.num_rows, c.type) for c in wanted]
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise BenchError(f"cannot read {path}", expected="a readable file", got=str(error), hint="check its permissions") from error
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _CorruptError(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    full = schema(table)
    part = pa.schema([full.field(c.name) for c in wanted], metadata=full.metadata)
    return pa.Table.from_arrays(arrays, schema=part)


# --- which row wins -------------------------------------------------------------------------------------------------------------------


def _take(table: pa.Table, keep: pd.Index | Sequence[int]) -> pa.Table:
    return table.take(pa.array(list(keep), pa.int64())).combine_chunks()


def _latest_scores(table: pa.Table) -> pa.Table:
    """Of the rows with one key keeps the one finished last; of equals, the one that comes last."""
    keys = table.select([*SCORE_KEY, "finished_at"]).to_pandas()
    order = keys["finished_at"].fillna(pd.Timestamp(0, tz="UTC")).argsort(kind="stable")
    last = keys.iloc[order].drop_duplicates(list(SCORE_KEY), keep="last")
    return _take(table, sorted(last.index))


def _latest_images(parts: Sequence[pa.Table]) -> pa.Table:
    """A cell's image rows all come from the last part that has any, so that two runs of a cell never mix."""
    if not parts:
        return schema("images").empty_table()
    owner: dict[str, int] = {}
    for position, part in enumerate(parts):
        for cell in part["cell_id"].unique().to_pylist():
            owner[cell] = position
    kept = []
    for position, part in enumerate(parts):
        keys = part.select(list(IMAGE_KEY)).to_pandas()
        mine = keys[keys["cell_id"].map(owner) == position].drop_duplicates(keep="last")
        kept.append(part if len(mine) == len(keys) else _take(part, mine.index))
    return pa.concat_tables(kept).combine_chunks()


# --- the local store ------------------------------------------------------------------------------------------------------------------


class Store:
    """A folder of part files, ``scores-STAMP.parquet`` and ``images-STAMP.parquet``.

    Several processes may append to one store. A part that cannot be read is renamed to ``*.corrupt``, warned about
    (``CorruptFileWarning``) and listed in ``corrupt``; the rest loads.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.corrupt: list[Path] = []

    def append(self, score_rows: Sequence[Row], image_rows: Sequence[Row] = ()) -> None:
        """Adds rows for good, or not at all. Score rows without ``finished_at`` get the present time.

        Image rows go first: a kill in between leaves images without a score row, which nobody reads, and the cell runs again.

        Raises:
            BenchError: a row that does not fit the schema, or a folder that cannot be written.
        """
        now = datetime.now(timezone.utc)
        score_rows = [row if row.get("finished_at") is not None else {**row, "finished_at": now} for row in score_rows]
        scores, images = to_table(score_rows, "scores"), to_table(image_rows, "images")
        stamp = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(3)}"
        if images.num_rows:
            atomic_write(self.root / f"images-{stamp}.parquet", _serialise(images))
        if scores.num_rows:
            atomic_write(self.root / f"scores-{stamp}.parquet", _serialise(scores))
        if any(len(self._small(table)) > COMPACT_ABOVE for table in ("scores", "images")):
            self.compact()

    def rows(self) -> pd.DataFrame:
        """All score rows, the last finished under each key."""
        return self._scores().to_pandas()

    def images(self, cells: Iterable[str] | None = None) -> pd.DataFrame:
        """All image rows (or those of some cells), of the last run of each cell."""
        table = _latest_images([part for _, part in self._parts("images")])
        if cells is not None:
            table = table.filter(pc.is_in(table["cell_id"], pa.array(list(cells), TEXT)))
        return table.to_pandas()

    def status(self) -> dict[tuple[str, str], tuple[str, str]]:
        """(grid, cell_id) → (status, reason), reading no other columns."""
        table = self._scores(("grid", "cell_id", "status", "reason", "finished_at"))
        grid, cell, status, reason = (table[name].to_pylist() for name in ("grid", "cell_id", "status", "reason"))
        return {(g, c): (s, r or "") for g, c, s, r in zip(grid, cell, status, reason, strict=True)}

    def compact(self) -> None:
        """Joins the small parts of each table into one. Safe beside readers and other writers: the new part is there before the
        old ones go, and a row that is seen twice counts once."""
        for table in ("scores", "images"):
            parts = self._parts(table, only=self._small(table))
            if len(parts) < 2:
                continue
            tables = [part for _, part in parts]
            joined = _latest_scores(pa.concat_tables(tables)) if table == "scores" else _latest_images(tables)
            # named after the newest part, so that later appends still come after it
            stem = parts[-1][0].stem.split("+")[0]
            atomic_write(self.root / f"{stem}+{secrets.token_hex(3)}.parquet", _serialise(joined))
            for path, _ in parts:
                path.unlink(missing_ok=True)
        for leftover in self.root.glob(".*.tmp"):  # of writers that were killed
            with contextlib.suppress(OSError):
                if time.time() - leftover.stat().st_mtime > 3600:
                    leftover.unlink()

    def _scores(self, columns: Sequence[str] | None = None) -> pa.Table:
        parts = [part for _, part in self._parts("scores", columns)]
        return _latest_scores(pa.concat_tables(parts)) if parts else schema("scores").empty_table()

    def _files(self, table: str) -> list[Path]:
        return sorted(self.root.glob(f"{table}-*.parquet"))

    def _small(self, table: str) -> list[Path]:
        small = []
        for path in self._files(table):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_size < LARGE_PART:
                    small.append(path)
        return small

    def _parts(
        self, table: Literal["scores", "images"], columns: Sequence[str] | None = None, only: list[Path] | None = None
    ) -> list[tuple[Path, pa.Table]]:
        """All readable parts, oldest first. When one vanishes meanwhile (another process compacted), the folder is listed again."""
        for _ in range(20):
            parts = []
            try:
                for path in self._files(table) if only is None else only:
                    try:
                        parts.append((path, _read(path, table, columns)))
                    except _CorruptError as error:
                        self._set_aside(path, table, str(error))
            except FileNotFoundError:
                if only is not None:
                    return []
                continue
            return parts
        raise BenchError(f"{self.root} keeps changing while it is read", hint="run again when the other run is done")

    def _set_aside(self, path: Path, table: str, why: str) -> None:
        target = path.with_name(path.name + ".corrupt")
        try:
            os.replace(path, target)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _cannot_write(target, error) from error
        self.corrupt.append(target)
        lost = "its cells count as not run" if table == "scores" else "python -m bench score rebuilds its image rows"
        warnings.warn(f"{path} is corrupt ({why}); set aside as {target.name}; {lost}", CorruptFileWarning, stacklevel=4)


# --- the results folder ---------------------------------------------------------------------------------------------------------------


def load_results(results_dir: Path | str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(scores, images) of a results folder; a file that is not there yet gives a table without rows.

    Raises:
        BenchError: a file is corrupt, unreadable or of a newer schema version.
    """
    scores, images = _load(Path(results_dir))
    return scores.to_pandas(), images.to_pandas()


def _load(folder: Path) -> tuple[pa.Table, pa.Table]:
    parts = [schema("images").empty_table(), *(_load_file(path, "images") for path in images_files(folder))]
    return _load_file(folder / SCORES_FILE, "scores"), pa.concat_tables(parts)


def images_files(folder: Path) -> list[Path]:
    """Where a results folder has its image rows: a file a grid; older folders had one a track."""
    older = [folder / "images.parquet", *folder.glob("images_*.parquet")]
    return sorted(path for path in older if path.is_file()) + sorted((folder / IMAGES_FOLDER).glob("*.parquet"))


def _load_file(path: Path, table: Literal["scores", "images"]) -> pa.Table:
    try:
        return _read(path, table)
    except FileNotFoundError:
        return schema(table).empty_table()
    except _CorruptError as error:
        raise BenchError(
            f"{path} is corrupt",
            expected="a Parquet table",
            got=str(error),
            hint=f"restore it (git checkout -- {path.name}) or move it away, then run again; finished cells are in the local store",
        ) from error


def publish(
    score_rows: Sequence[Row] | pd.DataFrame,
    image_rows: Sequence[Row] | pd.DataFrame,
    results_dir: Path | str,
    *,
    store: Store | None = None,
) -> list[Path]:
    """Merges fresh rows into ``scores.parquet`` and the image files; the caller passes only what was newly computed.

    A fresh row replaces the published row of its key, and also rows of the same grid, setting, attack and parameters under an older
    cell_id (an older version of the attack or of the training code), which it supersedes. Thumbnails are kept only where a figure
    shows them (``bench.report.selection``); where a newly shown cell has none, they are looked up in ``store``. The same content
    gives the same bytes, and a file that would not change is not touched.

    Returns:
        The tables of the folder: ``scores.parquet`` first, then the image rows, a file a grid.

    Raises:
        BenchError: a row that does not fit the schema, a corrupt or newer published file, a folder that cannot be written, a full disk.
    """
    folder = Path(results_dir)
    fresh_scores, fresh_images = _latest_scores(to_table(score_rows, "scores")), to_table(image_rows, "images")
    with _locked(folder):
        old_scores, old_images = _load(folder)
        return _write_results(folder, _superseded(old_scores, fresh_scores), old_images, fresh_scores, fresh_images, store)


IDENTITY = (
    "grid",
    "attack",
    "attack_params",
    "sweep",
    *(c.name for c in SETTING_COLUMNS if c.name not in ("dataset_display", "input_shape")),
)


def _superseded(old: pa.Table, fresh: pa.Table) -> pa.Table:
    """The old rows that no fresh row takes the place of. Another copy of a data set under the same name supersedes nothing."""
    if not old.num_rows or not fresh.num_rows:
        return old

    def columns(table: pa.Table, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        return zip(*(table[name].to_pylist() for name in names), strict=True)

    taken = set(columns(fresh, SCORE_KEY))
    copies: dict[tuple[Any, ...], set[Any]] = {}
    for who, copy in zip(columns(fresh, IDENTITY), fresh["dataset_display"].to_pylist(), strict=True):
        copies.setdefault(who, set()).add(copy)
    state = zip(columns(old, SCORE_KEY), columns(old, IDENTITY), old["dataset_display"].to_pylist(), old["status"].to_pylist(), strict=True)
    keep = [
        i
        for i, (key, who, copy, status) in enumerate(state)
        if key not in taken and (who not in copies or (copy not in copies[who] and status == "ok"))
    ]
    return _take(old, keep)


def _write_results(
    folder: Path,
    old_scores: pa.Table,
    old_images: pa.Table,
    fresh_scores: pa.Table,
    fresh_images: pa.Table,
    store: Store | None = None,
) -> list[Path]:
    scores = _sorted(pa.concat_tables([old_scores, fresh_scores]), ["grid", "dataset", "axis_index", "attack", "seed", "cell_id"])
    # what a process printed may tell of its machine, and stays there
    scores = scores.set_column(scores.schema.get_field_index("stderr"), scores.schema.field("stderr"), pa.nulls(scores.num_rows, TEXT))
    images = _sorted(_latest_images([old_images, fresh_images]), list(IMAGE_KEY))
    frame = scores.to_pandas()
    done = pa.array(sorted(set(frame.loc[frame["status"] == "ok", "cell_id"])), TEXT)
    images = images.filter(pc.is_in(images["cell_id"], done))  # others failed since, or were superseded
    images = _prune_thumbnails(frame, images, store)
    # Images first: a kill in between leaves the older score rows, and image rows that the next publication settles.
    contents = {
        folder / IMAGES_FOLDER / name: content for grid, part in _by_grid(frame, images).items() for name, content in _files(grid, part)
    }
    for path, content in [*contents.items(), (folder / SCORES_FILE, _serialise(scores))]:
        if not path.exists() or path.read_bytes() != content:
            atomic_write(path, content)
    for path in set(images_files(folder)) - set(contents):
        path.unlink(missing_ok=True)  # of a grid that has no rows any more, or of the older layout
    return [folder / SCORES_FILE, *contents]


# Outside the reconstruction track, where a cell has hundreds of image rows; the other numbers stay in the local store.
UNPUBLISHED = ("ssim_w3", "psnr")  # the papers' window is not asked for there, and PSNR is the squared error again
SHOWN_OF_CONTROLS = ("ssim",)


def _files(grid: str, images: pa.Table) -> Iterator[tuple[str, bytes]]:
    """A grid's image rows as one file, or as several where one would be too large: ``GRID.parquet``, ``GRID.2.parquet``, …"""
    for pieces in range(1, images.num_rows + 1):
        rows = -(-images.num_rows // pieces)
        contents = [_serialise(images.slice(start, rows)) for start in range(0, images.num_rows, rows)]
        if max(map(len, contents)) <= LARGEST:
            break
    for number, content in enumerate(contents, 1):
        yield (f"{grid}.parquet" if number == 1 else f"{grid}.{number}.parquet"), content


def _by_grid(scores: pd.DataFrame, images: pa.Table) -> dict[str, pa.Table]:
    """The image rows of each grid, by a name that a file may have; a cell that several grids share lies with the first of them, by name."""
    ok = scores[scores["status"] == "ok"].sort_values("grid", kind="stable").drop_duplicates("cell_id")
    cells = images["cell_id"].to_pandas()
    owner = cells.map(dict(zip(ok["cell_id"], ok["grid"], strict=True)))
    other = cells.isin(ok.loc[ok["track"].fillna("reconstruction") != "reconstruction", "cell_id"])
    images = _lean(images, pa.array(other))
    parts: dict[str, pa.Table] = {}
    for grid in sorted(set(owner)):
        name = re.sub("[^a-z0-9_]", "_", grid.lower())[:60] or "grid"  # a merged table may call its grids anything
        part = images.filter(pa.array(owner == grid))
        parts[name] = part if name not in parts else _sorted(pa.concat_tables([parts[name], part]), list(IMAGE_KEY))
    return parts


def _lean(images: pa.Table, other: pa.Array) -> pa.Table:
    """Without the numbers that other tracks do not publish."""
    control = pc.equal(images["split"], "control")
    for column in images.schema:
        if pa.types.is_floating(column.type) and column.name not in SHOWN_OF_CONTROLS:
            hidden = other if column.name in UNPUBLISHED else pc.and_(other, control)
            lean = pc.if_else(hidden, pa.scalar(None, column.type), images[column.name])
            images = images.set_column(images.schema.get_field_index(column.name), column, lean)
    return images


def _prune_thumbnails(scores: pd.DataFrame, images: pa.Table, store: Store | None) -> pa.Table:
    """Nulls every thumbnail that no figure shows, after filling in those of shown cells that only the store has."""
    from bench.report.selection import figure_cells, thumbnail_rows  # the report decides what its figures show

    names = ("truth_png", "recon_png")
    frame = images.select([*IMAGE_KEY, "ssim", *names]).to_pandas()
    have = set(frame.loc[frame["truth_png"].notna(), "cell_id"])
    absent = (figure_cells(scores) & set(frame["cell_id"])) - have
    if absent and store is not None:
        found = store.images(absent).set_index(list(IMAGE_KEY))[list(names)]
        keys = pd.MultiIndex.from_frame(frame[list(IMAGE_KEY)])
        for name in names:
            frame[name] = frame[name].where(frame[name].notna(), found[name].reindex(keys).to_numpy())
    shown = frame.index.isin(thumbnail_rows(scores, frame))
    for name in names:
        position = images.schema.get_field_index(name)
        kept = [png if show and isinstance(png, bytes) else None for png, show in zip(frame[name], shown, strict=True)]
        images = images.set_column(position, images.schema.field(name), pa.array(kept, BYTES))
    return images


def _sorted(table: pa.Table, by: list[str]) -> pa.Table:
    """A stable order that depends on content alone."""
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in by])
    return table.take(order).combine_chunks()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer of a results folder at a time, where the system has advisory locks."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


# --- merging ----------------------------------------------------------------------------------------------------------------------------


@dataclass
class Merged:
    """What a merge did."""

    rows: int  # score rows in the result
    images: int  # image rows in the result
    added: int  # keys that were new
    replaced: list[tuple[str, str]] = field(default_factory=list)  # keys on which the sources differed and another row won


def merge(paths: Sequence[Path | str], into: Path | str, on_conflict: OnConflict = "last") -> Merged:
    """Merges stores and results folders into a results folder (or, where ``into`` is a store, into that store).

    Args:
        paths: results folders, stores, or homes with a ``rows`` folder in them.
        into: what is there takes part in the merge.
        on_conflict: for one key with different scores: ``last`` keeps the row finished last, ``best`` the higher excess recall
            (ok before anything else), ``refuse`` raises and changes nothing.

    Raises:
        BenchError: a path that is neither, a conflict under ``refuse``, or whatever reading and writing raise.
    """
    into = Path(into)
    if on_conflict not in ("last", "best", "refuse"):
        raise BenchError(
            "unknown way to settle conflicts", expected="last, best or refuse", got=repr(on_conflict), hint="--on-conflict last"
        )
    sources = [(Path(path), *_source(Path(path))) for path in paths]
    base = _source(into) if _is_store(into) else _load(into)
    winner: dict[tuple[str, str], tuple[Row, int]] = {(row["grid"], row["cell_id"]): (row, -1) for row in base[0].to_pylist()}
    added, replaced = 0, []
    for position, (path, scores, _) in enumerate(sources):
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
                    f"and {row['excess_recall']} ({row['status']}) in {path}",
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
    fresh, fresh_images = to_table([row for row, _ in taken], "scores"), _latest_images(images[1:])
    if _is_store(into):
        store = Store(into if _is_parts(into) else into / "rows")
        if on_conflict == "best" and replaced:
            raise BenchError(
                "a store keeps the row finished last",
                expected="--on-conflict last or refuse",
                got="best",
                hint="merge into a results folder",
            )
        store.append(fresh.to_pylist(), fresh_images.to_pylist())
    else:
        with _locked(into):
            _write_results(into, _superseded_keys(base[0], fresh), base[1], fresh, fresh_images)
    return Merged(len(winner), base[1].num_rows + fresh_images.num_rows, added, replaced)


def _superseded_keys(old: pa.Table, fresh: pa.Table) -> pa.Table:
    taken = set(zip(*(fresh[name].to_pylist() for name in SCORE_KEY), strict=True))
    keys = zip(*(old[name].to_pylist() for name in SCORE_KEY), strict=True)
    return _take(old, [i for i, key in enumerate(keys) if key not in taken])


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


def _is_parts(path: Path) -> bool:
    return any(path.glob("scores-*.parquet")) or any(path.glob("images-*.parquet"))


def _is_store(path: Path) -> bool:
    return path.is_dir() and not (path / SCORES_FILE).exists() and ((path / "rows").is_dir() or _is_parts(path))


def _source(path: Path) -> tuple[pa.Table, pa.Table]:
    if _is_store(path):
        store = Store(path if _is_parts(path) else path / "rows")
        return store._scores(), _latest_images([part for _, part in store._parts("images")])
    if (path / SCORES_FILE).exists():
        return _load(path)
    raise BenchError(
        f"nothing to merge at {path}",
        expected=f"a results folder (with {SCORES_FILE}) or a local store (.reconbench)",
        got="a folder without either" if path.is_dir() else "no such folder",
        hint="check the path",
    )
