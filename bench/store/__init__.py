"""Where rows are kept, merged and published; their columns are in ``bench.schema``.

There are two places. A ``Store`` is a folder of small part files, one pair per append, each written whole or not at all, so that a
kill loses nothing that was finished and several writers can share it. A *results folder* holds ``scores/GRID.parquet`` and
``images/GRID.parquet``, which ``publish`` rewrites with fresh rows taking the place of older ones under the same key. Beside them lies
``verified.csv`` (``bench.store.verified``), where attacks were verified, and ``submissions/`` (``bench.store.submissions``), where attacks
of others wait for that.
"""

from __future__ import annotations

from bench.files import atomic_write
from bench.schema import (
    IMAGE_KEY,
    SCHEMA_VERSION,
    SCORE_KEY,
    SETTING_COLUMNS,
    Column,
    columns,
    describe_schema,
    empty,
    schema,
    setting_row,
    to_table,
)
from bench.store.merging import Merged, merge
from bench.store.parts import CorruptFileWarning, Store
from bench.store.published import (
    IMAGES_FOLDER,
    SAME_ANSWER,
    SCORES_FOLDER,
    cells_of,
    has_results,
    images_files,
    load_images,
    load_results,
    load_scores,
    publish,
    scores_files,
)
from bench.store.submissions import load_everyones

__all__ = [
    "IMAGES_FOLDER", "IMAGE_KEY", "SAME_ANSWER", "SCHEMA_VERSION", "SCORES_FOLDER", "SCORE_KEY", "SETTING_COLUMNS", "Column",
    "CorruptFileWarning", "Merged", "Store", "atomic_write", "cells_of", "columns", "describe_schema", "empty", "has_results",
    "images_files", "load_everyones", "load_images", "load_results", "load_scores", "merge", "publish", "schema", "scores_files",
    "setting_row", "to_table",
]  # fmt: skip
