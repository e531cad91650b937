"""A published table lies in a folder, a file a grid: ``GRID.parquet``, and ``GRID.2.parquet``, … where one would be too large.

So a run's change touches one file, and none is larger than ``LARGEST``. Several files are not replaced at one moment. What a kill may leave
is settled here, without a list of files that could itself be out of date:

- Grids do not share rows, so each has its old rows or its new ones. A file is written whole or not at all.
- Rows of a grid of several files may move from one to another. Where more than one changes, ``GRID.parquet`` is first replaced by all of
  the grid's new rows, with a mark that it is ``whole``: from then on the grid's other files do not count. They are written next, and
  ``GRID.parquet`` with its own share, without the mark, comes last. Only then, and after a kill until the next publication, it may be
  larger than ``LARGEST``; and a reader that does not know of the mark sees rows twice, never too few.

Nobody may write beside it: see ``bench.store.published.locked``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa

from bench import regular
from bench.files import atomic_write
from bench.store.tables import is_whole, same_table, serialise

LARGEST = 950_000  # bytes of a file
NAME = re.compile(r"(.+?)(?:\.([0-9]{1,6}))?\.parquet")  # the grid, and a number from 2


def files_of(folder: Path) -> list[Path]:
    """The files of a table that count, by grid and number."""
    found = _all(folder)
    return [path for first, *others in found.values() for path in ([first] if others and _is_whole(first) else [first, *others])]


def put(folder: Path, table: Literal["scores", "images"], grids: Mapping[str, pa.Table]) -> list[Path]:
    """Makes these the rows of their grids, one grid after the other. Files whose rows and columns stay are not touched.

    Args:
        grids: rows by the name of the grid's first file, without its ending (``file_name``).

    Returns:
        The files, by grid and number.

    Raises:
        StorageError: the folder cannot be written, or the disk is full. What was there is readable still.
    """
    there, made = _all(folder), {}
    for grid, rows in grids.items():
        contents = {folder / f"{grid}{f'.{number}' if number > 1 else ''}.parquet": piece for number, piece in enumerate(pieces(rows), 1)}
        first, *others = contents
        gone = [path for path in there.get(grid, ()) if path not in contents]
        changed = [path for path, content in contents.items() if not _holds(path, content, table)]
        if len(changed) + len(gone) > 1:
            atomic_write(first, serialise(rows, whole=True))
            changed = [*(path for path in others if path in changed), first]
        for path in gone:
            path.unlink(missing_ok=True)
        for path in changed:
            atomic_write(path, contents[path])
        made[grid] = list(contents)
    return [path for paths in made.values() for path in paths]


def drop_others(folder: Path, kept: Collection[Path]) -> None:
    """Removes the files of grids that have no rows any more."""
    for path in [path for paths in _all(folder).values() for path in reversed(paths) if path not in kept]:
        path.unlink(missing_ok=True)


def file_name(grid: str) -> str:
    """A grid's name as that of a file, without ending: a merged table may call its grids anything. Who reads a folder skips what begins
    with an underscore."""
    return re.sub("[^a-z0-9_]", "_", grid.lower()).lstrip("_")[:60] or "grid"


def grid_of(path: Path) -> str:
    """The ``file_name`` of the grid whose rows a file has."""
    return _parsed(path)[0]


def _parsed(path: Path) -> tuple[str, int]:
    found = NAME.fullmatch(path.name)
    return (found[1], int(found[2] or 1)) if found else (path.name, 1)


def pieces(rows: pa.Table) -> list[bytes]:
    """Rows as files of at most ``LARGEST`` bytes, as few as will do, in order. A single row is not split."""
    count = 1
    while True:
        size = max(1, -(-rows.num_rows // count))
        contents = [serialise(rows.slice(start, size)) for start in range(0, max(1, rows.num_rows), size)]
        if size == 1 or max(map(len, contents)) <= LARGEST:
            return contents
        count = max(count + 1, -(-sum(map(len, contents)) // LARGEST))


def _all(folder: Path) -> dict[str, list[Path]]:
    """The files in a folder, whether they count or not: those of a grid by number."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.parquet"), key=_parsed):
        found.setdefault(grid_of(path), []).append(path)
    return found


def _is_whole(path: Path) -> bool:
    try:
        with regular.opened(path) as file:
            return is_whole(file)
    except OSError:
        return False  # gone, or told when it is read


def _holds(path: Path, content: bytes, table: Literal["scores", "images"]) -> bool:
    """Whether a file has these rows already. Another version of PyArrow writes them as other bytes."""
    try:
        return same_table(regular.read(path), content, table)
    except OSError:
        return False  # absent, or to be mended
