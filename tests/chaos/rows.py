"""The rows as they lie in the store's files, read without its own code, which would set broken files aside and settle doubles."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

Key = tuple[str, str]  # grid, cell


def parts(home: Path, table: str = "scores") -> list[Path]:
    """The readable and unreadable files of a table, oldest first by name."""
    return sorted((home / "rows").glob(f"{table}-*.parquet"))


def in_file(path: Path) -> set[Key]:
    """Which cells have a row in a file; none where it is cut off or gone."""
    with contextlib.suppress(OSError, pa.ArrowException):
        table = pq.read_table(path, columns=["grid", "cell_id"], partitioning=None)
        return set(zip(table["grid"].to_pylist(), table["cell_id"].to_pylist(), strict=True))
    return set()


def stored(home: Path) -> Counter[Key]:
    """In how many files each cell has a row. Files may be joined meanwhile: then the folder is looked at again."""
    while True:
        before = parts(home)
        found = Counter(key for path in before for key in in_file(path))
        if parts(home) == before:
            return found
