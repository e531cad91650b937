"""The store of a machine: rows in small part files, which several processes may add to at once."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
import warnings
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench.api import Row
from bench.errors import BenchError
from bench.files import atomic_write, cannot_write
from bench.schema import TEXT, schema, to_table
from bench.store.tables import LARGE_PART, CorruptError, latest_images, latest_scores, read, serialise

COMPACT_ABOVE = 64  # parts of one table before they are joined into one


class CorruptFileWarning(UserWarning):
    """A part file could not be read and was set aside."""


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
            atomic_write(self.root / f"images-{stamp}.parquet", serialise(images))
        if scores.num_rows:
            atomic_write(self.root / f"scores-{stamp}.parquet", serialise(scores))
        if any(len(self._small(table)) > COMPACT_ABOVE for table in ("scores", "images")):
            self.compact()

    def rows(self) -> pd.DataFrame:
        """All score rows, the last finished under each key."""
        return self._scores().to_pandas()

    def images(self, cells: Iterable[str] | None = None) -> pd.DataFrame:
        """All image rows (or those of some cells), of the last run of each cell."""
        table = latest_images([part for _, part in self._parts("images")])
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
            joined = latest_scores(pa.concat_tables(tables)) if table == "scores" else latest_images(tables)
            # named after the newest part, so that later appends still come after it
            stem = parts[-1][0].stem.split("+")[0]
            atomic_write(self.root / f"{stem}+{secrets.token_hex(3)}.parquet", serialise(joined))
            for path, _ in parts:
                path.unlink(missing_ok=True)
        for leftover in self.root.glob(".*.tmp"):  # of writers that were killed
            with contextlib.suppress(OSError):
                if time.time() - leftover.stat().st_mtime > 3600:
                    leftover.unlink()

    def _scores(self, columns: Sequence[str] | None = None) -> pa.Table:
        parts = [part for _, part in self._parts("scores", columns)]
        return latest_scores(pa.concat_tables(parts)) if parts else schema("scores").empty_table()

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
                        parts.append((path, read(path, table, columns)))
                    except CorruptError as error:
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
            raise cannot_write(target, error) from error
        self.corrupt.append(target)
        lost = "its cells count as not run" if table == "scores" else "python -m bench score rebuilds its image rows"
        warnings.warn(f"{path} is corrupt ({why}); set aside as {target.name}; {lost}", CorruptFileWarning, stacklevel=4)
