"""The results folder: ``scores/GRID.parquet`` and ``images/GRID.parquet``, which ``publish`` rewrites, fresh rows in place of older ones.

Earlier versions had all score rows in ``scores.parquet``, and image rows in ``images.parquet`` or in a file a track. Such a folder is read
as it is, and has a file a grid once something is published to it. Where both are there, as after a kill or a merge of two branches, the
files of ``scores/`` count for the grids that they have, and ``scores.parquet`` for the others.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench import registry, regular
from bench.api import Row
from bench.errors import BenchError
from bench.files import cannot_write
from bench.say import say
from bench.schema import BYTES, COST_COLUMNS, IMAGE_KEY, SCORE_KEY, SETTING_COLUMNS, TEXT, TRANSPLANT_COLUMNS, columns, schema, to_table
from bench.store import split
from bench.store.parts import Store
from bench.store.tables import CorruptError, latest_images, latest_scores, read, take

T = TypeVar("T")

SCORES_FOLDER, IMAGES_FOLDER = "scores", "images"  # a file a grid
OLDER_SCORES, OLDER_IMAGES = "scores.parquet", ("images.parquet", "images_*.parquet")
ORDER = ("grid", "dataset", "axis_index", "attack", "seed", "cell_id")  # of score rows; image rows are in that of their key


def load_results(results_dir: Path | str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(scores, images) of a results folder; a file that is not there yet gives a table without rows.

    However the files came together, each cell has one row and each of its images has one: of several that say the same, and of several
    versions of a cell, the one finished last, as when folders are merged.

    Raises:
        BenchError: a file is corrupt, unreadable or of a newer schema version, or holds rows of one cell that differ.
    """
    scores, images = load_tables(Path(results_dir))
    return scores.to_pandas(), images.to_pandas()


def load_scores(results_dir: Path | str) -> pd.DataFrame:
    """The scores of ``load_results``, without reading the image rows."""
    return load_score_table(Path(results_dir)).to_pandas()


def load_score_table(folder: Path) -> pa.Table:
    """``load_scores`` as an Arrow table."""
    return _undisturbed(lambda: scores_files(folder), lambda: _scores(folder))


def load_image_table(folder: Path) -> pa.Table:
    """The images of ``load_results`` as an Arrow table, without reading the score rows."""
    return _undisturbed(lambda: images_files(folder), lambda: _images(images_files(folder)))


def in_order(scores: pa.Table) -> pa.Table:
    """Score rows of several folders in the order of one."""
    return _sorted(scores, ORDER)


def load_tables(folder: Path) -> tuple[pa.Table, pa.Table]:
    """``load_results`` as Arrow tables."""
    return _undisturbed(lambda: [*scores_files(folder), *images_files(folder)], lambda: (_scores(folder), _images(images_files(folder))))


def _undisturbed(files: Callable[[], list[Path]], load: Callable[[], T]) -> T:
    """What is loaded from files while nobody changes them: who reads takes no lock, and would see some rows of before and some of after.

    Raises:
        BenchError: they were changed each of 20 times.
    """

    def seen() -> list[tuple[Path, int, int]]:
        states = []
        for path in files():
            with contextlib.suppress(OSError):
                state = path.stat()
                states.append((path, state.st_ino, state.st_mtime_ns))
        return states

    for _ in range(20):
        before, loaded = seen(), load()
        if seen() == before:
            return loaded
    raise BenchError("the results folder keeps changing while it is read", hint="run again when the other run is done")


def load_images(paths: Sequence[Path]) -> pd.DataFrame:
    """The image rows of some of the files of a results folder. Raises as ``load_results``.

    A whole number that rows may lack is a float, also where the rows of these files all have it.
    """
    table = _images(paths)
    whole = {field.name for field in table.schema if pa.types.is_integer(field.type)} - {"schema_version", "index", "label"}
    return table.to_pandas().astype(dict.fromkeys(whole, "float64"))


def cells_of(path: Path) -> set[str]:
    """The cells whose image rows a file holds, without reading those. Raises as ``load_results``."""
    return set(_load_file(path, "images", ["cell_id"])["cell_id"].unique().to_pylist())


def _scores(folder: Path) -> pa.Table:
    """The score rows of a folder, in ``ORDER``."""
    scores = pa.concat_tables(
        [schema("scores").empty_table(), *(_load_file(path, "scores") for path in split.files_of(folder / SCORES_FOLDER))]
    )
    older = _load_file(folder / OLDER_SCORES, "scores")
    others = older.filter(pc.invert(pc.is_in(older["grid"], scores["grid"].combine_chunks())))
    scores = pa.concat_tables([others, scores])
    _refuse_two_that_differ(scores, "scores", folder / (OLDER_SCORES if others.num_rows == scores.num_rows else SCORES_FOLDER))
    return _sorted(latest_scores(latest_scores(scores), VERSION_KEY), ORDER)


def _images(paths: Sequence[Path]) -> pa.Table:
    """The image rows of several files. What a kill has left in two of them counts once: a later file was written later."""
    parts = [_load_file(path, "images") for path in paths]
    table = pa.concat_tables([schema("images").empty_table(), *parts])
    keys = table.select(list(IMAGE_KEY)).to_pandas()
    if not keys.duplicated().any():
        return table
    for path, part in zip(paths, parts, strict=True):
        _refuse_two_that_differ(part, "images", path)
    keys["file"] = np.repeat(np.arange(len(parts)), [part.num_rows for part in parts])
    keys["picture"] = table["truth_png"].is_valid().to_pandas()
    last = keys.sort_values(["file", "picture"], kind="stable").drop_duplicates(list(IMAGE_KEY), keep="last")
    return take(table, sorted(last.index))


def _said(name: Literal["scores", "images"]) -> list[str]:
    """What image rows say, and what score rows say that follows from them: by this it is told whether two runs came to the same."""
    if name == "scores":
        aside = {*COST_COLUMNS, *TRANSPLANT_COLUMNS}
        return [*SCORE_KEY, "status", *(c.name for c in columns(name) if c.decimals is not None and c.name not in aside)]
    return [c.name for c in columns(name) if c.type != BYTES and c.name != "schema_version"]


_DECIMALS = 3  # more no page shows, and on another processor the last ones of a run differ


def _refuse_two_that_differ(table: pa.Table, name: Literal["scores", "images"], path: Path) -> None:
    """Raises on two rows with scores under one key that do not say the same. The last finished cannot count then: image rows do not tell
    which run they are of."""
    key = list(SCORE_KEY if name == "scores" else IMAGE_KEY)
    twice = table.select(key).to_pandas().duplicated(keep=False)
    if not twice.any():
        return
    frame = table.select(_said(name)).filter(pa.array(twice)).to_pandas()
    if name == "scores":
        frame = frame[frame["status"] == "ok"]
    frame = frame.round(_DECIMALS).drop_duplicates()
    rivals = frame[frame.duplicated(key, keep=False)]
    if rivals.empty:
        return
    first = rivals.iloc[0]
    what = f"cell {first['cell_id']} of grid '{first['grid']}'" if name == "scores" else f"an image of cell {first['cell_id']}"
    others = rivals["cell_id"].nunique() - 1
    raise BenchError(
        f"{path} has two rows of {what} that differ" + (f", and so of {others} more {'cells' if others > 1 else 'cell'}" if others else ""),
        expected="one row each; of rows that say the same, one counts",
        got="files of several machines, joined by hand?",
        hint="python -m bench merge FOLDER FOLDER --into DIR on the folders that they came from: it keeps rows and images together",
    )


def has_results(folder: Path) -> bool:
    """Whether something was ever published to a folder, be it no rows."""
    return (folder / OLDER_SCORES).exists() or (folder / SCORES_FOLDER).is_dir()


def scores_files(folder: Path) -> list[Path]:
    """Where a results folder has its score rows: a file a grid; older folders had one."""
    return [*_older(folder, OLDER_SCORES), *split.files_of(folder / SCORES_FOLDER)]


def images_files(folder: Path) -> list[Path]:
    """Where a results folder has its image rows: a file a grid; older folders had one a track."""
    return [*_older(folder, *OLDER_IMAGES), *split.files_of(folder / IMAGES_FOLDER)]


def _older(folder: Path, *patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())


def _load_file(path: Path, table: Literal["scores", "images"], columns: Sequence[str] | None = None) -> pa.Table:
    try:
        return read(regular.read(path), str(path), table, columns)
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
            hint=f"restore it (git checkout -- {path}) or move it away, then run again; finished cells are in the local store",
        ) from error


def publish(
    score_rows: Sequence[Row] | pd.DataFrame,
    image_rows: Sequence[Row] | pd.DataFrame,
    results_dir: Path | str,
    *,
    store: Store | None = None,
    alone: bool = False,
) -> list[Path]:
    """Merges fresh rows into a results folder; the caller passes only what was newly computed.

    A fresh row replaces the published row of its key, and also rows of the same grid, setting, attack and parameters under an older
    cell_id (an older version of the attack or of the training code), which it supersedes. Thumbnails are kept only where a figure
    shows them (``bench.report.kit.selection``); where a newly shown cell has none, they are looked up in ``store``. The same content
    gives the same bytes, and a file whose rows and columns would not change is not touched.

    A kill leaves each grid's score rows as they were or as they are to be, and the next publication settles the rest
    (``bench.store.split``). Image rows go first: in between there are older score rows with fresh image rows.

    Args:
        alone: the grids of the fresh rows have no other rows afterwards.

    Returns:
        The tables of the folder: the score rows first, then the image rows, a file a grid.

    Raises:
        BenchError: a row that does not fit the schema, a corrupt or newer published file, a folder that cannot be written, a full disk.
    """
    folder = Path(results_dir)
    fresh_scores, fresh_images = latest_scores(to_table(score_rows, "scores")), to_table(image_rows, "images")
    with locked(folder):
        old_scores, old_images = load_tables(folder)
        if alone:
            old_scores = old_scores.filter(pc.invert(pc.is_in(old_scores["grid"], fresh_scores["grid"].combine_chunks())))
        return write_results(folder, _superseded(old_scores, fresh_scores), old_images, fresh_scores, fresh_images, store)


IDENTITY = (  # what versions of one cell have in common, on one copy of a data set
    "grid",
    "attack",
    "attack_params",
    "sweep",
    *(c.name for c in SETTING_COLUMNS if c.name not in ("dataset_display", "input_shape")),
)
VERSION_KEY = (*IDENTITY, "dataset_display")
SAME_ANSWER = ("grid", "target_id", "attack", "attack_params", "sweep", "attack_version")  # what rows of one answer have in common


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
    scores = _sorted(pa.concat_tables([old_scores, fresh_scores]), ORDER)
    # what a process printed may tell of its machine, and stays there
    scores = scores.set_column(scores.schema.get_field_index("stderr"), scores.schema.field("stderr"), pa.nulls(scores.num_rows, TEXT))
    images = _sorted(latest_images([old_images, fresh_images]), IMAGE_KEY)
    frame = scores.to_pandas()
    done = pa.array(sorted(set(frame.loc[frame["status"] == "ok", "cell_id"])), TEXT)
    images = images.filter(pc.is_in(images["cell_id"], done))  # others failed since, or were superseded
    images = _prune_thumbnails(frame, images, store)
    names, tracks = _owners(frame, images)
    of_images = split.put(folder / IMAGES_FOLDER, "images", _gaining_first(folder, _by_grid(_lean(images, tracks), names)))
    try:
        (folder / SCORES_FOLDER).mkdir(exist_ok=True)  # without rows, too: it says that something was published
    except OSError as error:
        raise cannot_write(folder / SCORES_FOLDER, error) from error
    of_scores = split.put(folder / SCORES_FOLDER, "scores", _by_grid(scores, frame["grid"].map(split.file_name)))
    for path in _older(folder, OLDER_SCORES, *OLDER_IMAGES):  # before those of grids without rows, whose rows they may have too
        path.unlink(missing_ok=True)
    split.drop_others(folder / SCORES_FOLDER, of_scores)
    split.drop_others(folder / IMAGES_FOLDER, of_images)
    return [*of_scores, *of_images]


def _by_grid(table: pa.Table, names: pd.Series) -> dict[str, pa.Table]:
    """The rows of each grid, by the name of its file; grids may have the same. Their order stays.

    Args:
        names: of each row.
    """
    return {name: table.filter(pa.array(names == name)).combine_chunks() for name in sorted(names.unique())}


def _gaining_first(folder: Path, grids: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """The image rows of each grid, those last whose file loses cells to that of another: after a kill in between, both have them, and not
    neither. (Of two grids that exchange cells in one publication, one cannot come before the other.)"""
    owners = {cell: name for name, rows in grids.items() for cell in rows["cell_id"].unique().to_pylist()}
    losing = set()
    for path in split.files_of(folder / IMAGES_FOLDER):
        mine = split.grid_of(path)
        if any(owners.get(cell, mine) != mine for cell in cells_of(path)):
            losing.add(mine)
    return dict(sorted(grids.items(), key=lambda item: item[0] in losing))


def _owners(scores: pd.DataFrame, images: pa.Table) -> tuple[pd.Series, pd.Series]:
    """The file of each image row, and its track; a cell that several grids share lies with the first of them, by name."""
    ok = scores[scores["status"] == "ok"].sort_values("grid", kind="stable").drop_duplicates("cell_id").set_index("cell_id")
    cells = images["cell_id"].to_pandas()
    return cells.map(ok["grid"].map(split.file_name)), cells.map(ok["track"])


def _lean(images: pa.Table, track: pd.Series) -> pa.Table:
    """Without the numbers that a track leaves in the local store: it may have hundreds of image rows a cell.

    Args:
        track: of each row.
    """
    control = images["split"].to_pandas() == "control"
    for entry in registry.entries("track").values():
        mine = track == entry.name
        if not mine.any():
            continue
        everywhere, of_controls = (registry.literal(entry, name) for name in ("unpublished", "unpublished_of_controls"))
        for name in sorted(everywhere | of_controls):
            column = images.schema.field(name)
            hidden = pa.array(mine if name in everywhere else mine & control)
            lean = pc.if_else(hidden, pa.scalar(None, column.type), images[name])
            images = images.set_column(images.schema.get_field_index(name), column, lean)
    return images


def _prune_thumbnails(scores: pd.DataFrame, images: pa.Table, store: Store | None) -> pa.Table:
    """Nulls every thumbnail that no figure shows, after filling in those of shown cells that only the store has."""
    from bench.report.kit.selection import figure_cells, thumbnail_rows  # the report decides what its figures show

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


def _sorted(table: pa.Table, by: Sequence[str]) -> pa.Table:
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
