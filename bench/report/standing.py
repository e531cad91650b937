"""Which fresh rows take the place of published ones. A published row that a fresh one confirms stands, with its image rows: so a clone
that reproduces the table leaves it as it was, to the byte."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.compare import compare
from bench.schema import COST_COLUMNS, LABEL_COLUMNS, PROVENANCE_COLUMNS, SCORE_KEY, columns, to_table


def to_publish(fresh: pd.DataFrame, images: pd.DataFrame, published: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """What of fresh rows is to be published over others.

    A published row stands if the fresh row of its cell has the same status and score protocol, agrees within its intervals
    (``bench.report.compare``), or is missing for the same reason, and has no score that the published row lacks and others of its track
    have. If the grid's file has come to name it otherwise, the published numbers go under the new labels. A new version of an attack is
    another cell, and so takes the place of the old one.

    Returns:
        Score rows to publish, the image rows of those among them that are fresh, and how many published rows stand.
    """
    mine, theirs = _rows(fresh), _rows(published[published["grid"].isin(fresh["grid"])])
    usual = _usual(published)
    doubtful = {(found.grid, found.cell_id) for found in compare(fresh, published).disagreements}
    replaced, renamed, standing = [], [], 0
    for key, row in mine.items():
        old = theirs.get(key)
        if old is None or key in doubtful or not _stands(old, row, usual):
            replaced.append(row)
            continue
        standing += 1
        if any(old[name] != row[name] for name in LABEL_COLUMNS):
            renamed.append({**old, **{name: row[name] for name in LABEL_COLUMNS}})
    pictures = images[images["cell_id"].isin({row["cell_id"] for row in replaced})]
    return to_table([*replaced, *renamed], "scores").to_pandas(), pictures, standing


def _usual(published: pd.DataFrame) -> dict[Any, list[str]]:
    """Of each track the scores that its published rows have. A metric that came later is in none of them: `score` adds it, not a run."""
    aside = {*COST_COLUMNS, *PROVENANCE_COLUMNS}
    names = [column.name for column in columns("scores") if column.decimals is not None and column.name not in aside]
    return {track: [name for name in names if rows[name].notna().any()] for track, rows in published.groupby("track", dropna=False)}


def _stands(old: dict[str, Any], row: dict[str, Any], usual: dict[Any, list[str]]) -> bool:
    """Whether a fresh row that agrees has nothing that the published one has not. A gallery of another size shows other pictures."""
    if any(old[name] != row[name] for name in ("status", "protocol", "gallery")):
        return False
    if row["status"] != "ok":
        return bool(old["reason"] == row["reason"])
    return all(old[name] is not None or row[name] is None for name in usual.get(old["track"], ()))


def _rows(frame: pd.DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows by key, their values as they are written."""
    return {tuple(row[name] for name in SCORE_KEY): row for row in to_table(frame, "scores").to_pylist()}
