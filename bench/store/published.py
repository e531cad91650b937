"""The results folder: ``scores.parquet`` and ``images/GRID.parquet``, which ``publish`` rewrites with fresh rows in place of older ones."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench.api import Row
from bench.errors import BenchError
from bench.files import atomic_write, cannot_write
from bench.say import say
from bench.schema import BYTES, IMAGE_KEY, SCORE_KEY, SETTING_COLUMNS, TEXT, schema, to_table
from bench.store.parts import Store
from bench.store.tables import CorruptError, latest_images, latest_scores, read, serialise, take

SCORES_FILE = "scores.parquet"
IMAGES_FOLDER = "images"  # a file a grid
LARGEST = 950_000  # bytes of one such file


def load_results(results_dir: Path | str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(scores, images) of a results folder; a file that is not there yet gives a table without rows.

    Raises:
        BenchError: a file is corrupt, unreadable or of a newer schema version.
    """
    scores, images = load_tables(Path(results_dir))
    return scores.to_pandas(), images.to_pandas()


def load_tables(folder: Path) -> tuple[pa.Table, pa.Table]:
    parts = [schema("images").empty_table(), *(_load_file(path, "images") for path in images_files(folder))]
    return _load_file(folder / SCORES_FILE, "scores"), pa.concat_tables(parts)


def images_files(folder: Path) -> list[Path]:
    """Where a results folder has its image rows: a file a grid; older folders had one a track."""
    older = [folder / "images.parquet", *folder.glob("images_*.parquet")]
    return sorted(path for path in older if path.is_file()) + sorted((folder / IMAGES_FOLDER).glob("*.parquet"))


def _load_file(path: Path, table: Literal["scores", "images"]) -> pa.Table:
    try:
        return read(path.read_bytes(), str(path), table)
    except FileNotFoundError:
        return schema(table).empty_table()
    except NotADirectoryError as error:
        raise BenchError(
            f"{path.parent} is a file", expected="a results folder", got="a file", hint="choose another --out or --into"
        ) from error
    except PermissionError as error:
        raise BenchError(f"cannot read {path}", expected="a readable file", got=str(error), hint="check its permissions") from error
    except (OSError, CorruptError) as error:
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
    fresh_scores, fresh_images = latest_scores(to_table(score_rows, "scores")), to_table(image_rows, "images")
    with locked(folder):
        old_scores, old_images = load_tables(folder)
        return write_results(folder, _superseded(old_scores, fresh_scores), old_images, fresh_scores, fresh_images, store)


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
    return take(old, keep)


def write_results(
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
    images = _sorted(latest_images([old_images, fresh_images]), list(IMAGE_KEY))
    frame = scores.to_pandas()
    done = pa.array(sorted(set(frame.loc[frame["status"] == "ok", "cell_id"])), TEXT)
    images = images.filter(pc.is_in(images["cell_id"], done))  # others failed since, or were superseded
    images = _prune_thumbnails(frame, images, store)
    # Images first: a kill in between leaves the older score rows, and image rows that the next publication settles.
    contents = {
        folder / IMAGES_FOLDER / name: content for grid, part in _by_grid(frame, images).items() for name, content in _files(grid, part)
    }
    for path, content in [*contents.items(), (folder / SCORES_FILE, serialise(scores))]:
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
        contents = [serialise(images.slice(start, rows)) for start in range(0, images.num_rows, rows)]
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
def locked(folder: Path) -> Iterator[None]:
    """One writer of a results folder at a time, where the file system has advisory locks. Whoever waits for another is told so."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another process that writes {folder}")
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
