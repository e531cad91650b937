"""The store: rows in small part files, which several processes and machines may add to at once."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import time
import warnings
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench.api import Row
from bench.errors import BenchError
from bench.files import File, Files, files_at
from bench.schema import TEXT, schema, to_table
from bench.store.tables import CorruptError, latest_images, latest_scores, read, serialise, serialise_part

Table = Literal["scores", "images"]

COMPACT_ABOVE = 64  # parts of one table before they are joined into one
STAMP = re.compile(r"(?:scores|images)-0*(\d{1,19})-")  # nanoseconds since 1970 when a part was written
LARGE_PART = 32 * 2**20  # bytes; parts above this are left alone by compaction, so that joining stays cheap


class CorruptFileWarning(UserWarning):
    """A part file could not be read and was set aside."""


class Store:
    """A folder of part files, ``scores-STAMP.parquet`` and ``images-STAMP.parquet``, wherever ``bench.files`` reaches.

    Several processes may append to one store. A part that cannot be read is renamed to ``*.corrupt``, warned about
    (``CorruptFileWarning``) and listed by name in ``corrupt``; the rest loads.
    """

    def __init__(self, where: Files | Path | str) -> None:
        self.files = files_at(where)
        self.corrupt: list[str] = []
        self._last: int | None = None  # stamp of the newest part that was seen here

    def __str__(self) -> str:
        return str(self.files)

    def append(self, score_rows: Sequence[Row], image_rows: Sequence[Row] = ()) -> None:
        """Adds rows for good, or not at all. Score rows without ``finished_at`` get the present time; if the clock was set back since the
        newest part, the moment after that, since the row finished last is the one that counts.

        Image rows go first: a kill in between leaves images without a score row, which nobody reads, and the cell runs again.

        Raises:
            BenchError: a row that does not fit the schema, or a store that cannot be written.
        """
        moment = self._next()
        now = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=moment // 1000)
        score_rows = [row if row.get("finished_at") is not None else {**row, "finished_at": now} for row in score_rows]
        scores, images = to_table(score_rows, "scores"), to_table(image_rows, "images")
        stamp = f"{moment:020d}-{os.getpid()}-{secrets.token_hex(3)}"
        if images.num_rows:
            self.files.put(f"images-{stamp}.parquet", serialise_part(images))
        if scores.num_rows:
            self.files.put(f"scores-{stamp}.parquet", serialise_part(scores))
        files = self._listing()
        if any(len(_small(_of(table, files))) > COMPACT_ABOVE for table in ("scores", "images")):
            self.compact()

    def rows(self) -> pd.DataFrame:
        """All score rows, the last finished under each key."""
        return self.scores().to_pandas()

    def images(self, cells: Iterable[str] | None = None) -> pd.DataFrame:
        """All image rows (or those of some cells), of the last run of each cell."""
        table = self.pictures()
        if cells is not None:
            table = table.filter(pc.is_in(table["cell_id"], pa.array(list(cells), TEXT)))
        return table.to_pandas()

    def status(self) -> dict[tuple[str, str], tuple[str, str]]:
        """(grid, cell_id) → (status, reason), reading no other columns."""
        table = self.scores(("grid", "cell_id", "status", "reason", "finished_at"))
        grid, cell, status, reason = (table[name].to_pylist() for name in ("grid", "cell_id", "status", "reason"))
        return {(g, c): (s, r or "") for g, c, s, r in zip(grid, cell, status, reason, strict=True)}

    def scores(self, columns: Sequence[str] | None = None) -> pa.Table:
        """``rows`` as an Arrow table; of some columns, the key and ``finished_at`` among them."""
        parts = [part for _, part in self._parts("scores", columns)]
        return latest_scores(pa.concat_tables(parts)) if parts else schema("scores").empty_table()

    def pictures(self) -> pa.Table:
        """``images`` of all cells, as an Arrow table."""
        return latest_images([part for _, part in self._parts("images")])

    def compact(self) -> None:
        """Joins the small parts of each table into one. Safe beside readers and other writers: the new part is there before the
        old ones go, and a row that is seen twice counts once."""
        tables: tuple[Table, ...] = ("scores", "images")
        for table in tables:
            parts = self._parts(table, only=_small(self._files(table)))
            if len(parts) < 2:
                continue
            rows = [part for _, part in parts]
            joined = latest_scores(pa.concat_tables(rows)) if table == "scores" else latest_images(rows)
            # named after the newest part, so that later appends still come after it
            stem = parts[-1][0].removesuffix(".parquet").split("+")[0]
            self.files.put(f"{stem}+{secrets.token_hex(3)}.parquet", serialise(joined))
            for name, _ in parts:
                self.files.delete(name)
        self.files.sweep()

    def _next(self) -> int:
        """Nanoseconds since 1970, at least a microsecond after the newest part."""
        if self._last is None:
            self._listing()
        self._last = max(time.time_ns(), (self._last or 0) + 1000)
        return self._last

    def _listing(self) -> list[File]:
        files = self.files.listing()
        stamps = [int(found[1]) for file in files if (found := STAMP.match(file.name))]
        self._last = max([self._last or 0, *stamps])
        return files

    def _files(self, table: Table) -> list[File]:
        return _of(table, self._listing())

    def _parts(self, table: Table, columns: Sequence[str] | None = None, only: Sequence[File] | None = None) -> list[tuple[str, pa.Table]]:
        """All readable parts, by name, oldest first. When one vanishes meanwhile (another process compacted), the folder is listed
        again; where only some are asked for, there are none then."""

        def load(file: File) -> pa.Table | CorruptError:
            try:
                return read(self.files.read(file.name), self.files.at(file.name), table, columns)
            except FileNotFoundError:
                raise
            except OSError as error:
                return CorruptError(str(error))
            except CorruptError as error:
                return error

        for _ in range(20):
            files = self._files(table) if only is None else only
            try:
                loaded = list(self.files.each(load, files))
            except FileNotFoundError:
                if only is not None:
                    return []
                continue
            parts = []
            for file, part in zip(files, loaded, strict=True):
                if isinstance(part, CorruptError):
                    self._set_aside(file.name, table, str(part))
                else:
                    parts.append((file.name, part))
            return parts
        raise BenchError(f"{self} keeps changing while it is read", hint="run again when the other run is done")

    def _set_aside(self, name: str, table: Table, why: str) -> None:
        aside = f"{name}.corrupt"
        self.files.set_aside(name, aside)
        self.corrupt.append(aside)
        lost = "its cells count as not run" if table == "scores" else "python -m bench score rebuilds its image rows"
        warnings.warn(f"{self.files.at(name)} is corrupt ({why}); set aside as {aside}; {lost}", CorruptFileWarning, stacklevel=4)


def _of(table: str, files: Iterable[File]) -> list[File]:
    return [file for file in files if file.name.startswith(f"{table}-") and file.name.endswith(".parquet")]


def _small(parts: Sequence[File]) -> list[File]:
    """The newest parts, back to the last large one: joined across it, older image rows of a cell would come after newer ones."""
    return list(itertools.takewhile(lambda part: part.size < LARGE_PART, reversed(parts)))[::-1]
