"""What the store holds, and which of it belongs to a plan: rows, raw reconstructions and trained targets."""

from __future__ import annotations

import pandas as pd

from bench.engine.answers import file_name
from bench.engine.plan import Plan, answer_id
from bench.engine.rows import labels
from bench.files import Afresh, Files, store_files
from bench.store import Store
from bench.targets.cache import TargetCache


def store() -> Store:
    """The rows of the store."""
    return Store(store_files().within("rows"))


def reconstructions() -> Files:
    """Where the store has raw reconstructions."""
    return store_files().within("reconstructions")


def cache_of(afresh: bool) -> TargetCache:
    """The targets of the store; ``afresh``: nothing is taken from it that was there before, shadows included."""
    return TargetCache(Afresh(store_files()) if afresh else None)


def known(rows: Store) -> dict[str, tuple[str, str]]:
    """cell id → (status, reason) over all grids: a cell that is done for one grid is done for all."""
    result: dict[str, tuple[str, str]] = {}
    for (_, cell), state in rows.status().items():
        if result.get(cell, ("", ""))[0] != "ok":
            result[cell] = state
    return result


def scorable(plan: Plan, rows: Store) -> list[str]:
    """The ids, under an earlier score protocol, of cells that are to run and need no attack: they have scores by it, and their answers are
    kept here."""
    found = {earlier for cell in plan.cells if cell.state == "to run" and (earlier := answer_id(cell)) != cell.id}
    if not found:
        return []
    done = {cell for (_, cell), (status, _) in rows.status().items() if status == "ok"}
    kept = {file.name for file in reconstructions().listing()}
    return sorted(cell for cell in found & done if file_name(cell) in kept)


def collect(plan: Plan, rows: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The score and image rows of a plan's cells that are stored, under this grid's name and labels."""
    frame = rows.rows()
    ids = {cell.id: cell for cell in plan.cells}
    frame = frame[frame["cell_id"].isin(list(ids))]
    # a cell may be stored under several grids: this grid's row first, then one that is ok
    rank = (frame["grid"] != plan.grid).astype(int) + 2 * (frame["status"] != "ok").astype(int)
    frame = frame.assign(_rank=rank).sort_values("_rank", kind="stable").drop_duplicates("cell_id").drop(columns="_rank")
    named = [labels(ids[cell], plan.loaded.grid) for cell in frame["cell_id"]]
    for column in ("grid", "grid_title", "grid_question", "grid_published", "gallery", "axis", "axis_index"):
        kind = "float64" if column == "gallery" else frame[column].dtype  # null in most grids
        frame[column] = pd.Series([row[column] for row in named], index=frame.index, dtype=kind)
    return frame.reset_index(drop=True), rows.images(frame.loc[frame["status"] == "ok", "cell_id"])
