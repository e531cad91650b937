"""Rows of the same cells from two runs: alike but for rounding.

The last digits of a matrix product hang on the processor, on its threads, and on how many runs go through it together. So what is computed
from products may differ by what is stated here; words, labels and counts may not, nor shares, whose steps are far larger. Ranks among
look-alikes may pass a neighbour.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from bench.schema import COST_COLUMNS, IMAGE_KEY, PROVENANCE_COLUMNS, columns

NOT_COMPARED = frozenset({*COST_COLUMNS, *PROVENANCE_COLUMNS, "stack", "stack_halvings"})
UNROUNDED = {"float64": 1e-6, "float32": 1e-2}  # relative, by the row's `dtype`: numbers that rows keep with all their digits
PIXELS = 1e-4  # scores of images, which are kept as float16: a pixel on the edge between two of its numbers becomes either
RANKS = frozenset({"rank", "rank_median", "rank_median_controls"})  # steps are small where a thousand look-alikes are near to one another
LEVEL = 1  # of a thumbnail's 255: the same edge
DECIMALS = {column.name: column.decimals for table in ("scores", "images") for column in columns(table)}


def differing(one: pd.DataFrame, two: pd.DataFrame, *, leave: Collection[str] = NOT_COMPARED, pixels: float = PIXELS) -> list[str]:
    """The columns that differ by more than rounding, each with the first row and its two values; score rows or image rows, in any order.

    Args:
        leave: columns that are not compared.
        pixels: by how much scores of images may differ; more where an attack of many steps works in float32.
    """
    key = list(IMAGE_KEY) if "split" in one.columns else ["cell_id"]
    one, two = (frame.sort_values(key, ignore_index=True) for frame in (one, two))
    if len(one) != len(two) or set(one.columns) != set(two.columns) or one[key].to_numpy().tolist() != two[key].to_numpy().tolist():
        return [f"{len(one)} rows and {len(two)}, or of other cells, or of other columns"]
    unrounded = [UNROUNDED[dtype] for dtype in one["dtype"]] if "dtype" in one.columns else [0.0] * len(one)  # image rows are rounded
    found = []
    for name in one.columns.difference(list(leave)):
        rows = zip(one[key].to_numpy().tolist(), one[name].tolist(), two[name].tolist(), unrounded, strict=True)
        wrong = next(((row, a, b) for row, a, b, near in rows if not alike(name, a, b, near, pixels)), None)
        if wrong:
            row, a, b = wrong
            found.append(f"{name} of {' '.join(map(str, row))}: {a!r:.200} and {b!r:.200}")
    return found


def alike(column: str, a: Any, b: Any, unrounded: float, pixels: float = PIXELS) -> bool:
    """Whether two values of a column are the same but for rounding."""
    if isinstance(a, bytes) and isinstance(b, bytes):
        return pictures_alike(a, b)
    if column in RANKS and not (pd.isna(a) or pd.isna(b)):
        return abs(a - b) <= 1 + 1e4 * pixels
    if isinstance(a, float) and isinstance(b, float):
        decimals = DECIMALS.get(column)
        close = _close(a, b, unrounded) if decimals is None else abs(a - b) <= pixels + 1.01 * 10**-decimals
        return close or a == b or (math.isnan(a) and math.isnan(b))
    if column == "sweep_runs" and isinstance(a, str) and isinstance(b, str):
        return _json_alike(json.loads(a), json.loads(b), unrounded)
    return bool(pd.isna(a) and pd.isna(b)) or (not (pd.isna(a) or pd.isna(b)) and bool(a == b))


def pictures_alike(a: bytes, b: bytes) -> bool:
    """Two image files of the same size and mode, no pixel of which differs by more than a level."""
    one, two = (Image.open(io.BytesIO(content)) for content in (a, b))
    return (one.size, one.mode) == (two.size, two.mode) and int(np.abs(np.asarray(one, int) - np.asarray(two, int)).max()) <= LEVEL


def _json_alike(a: Any, b: Any, unrounded: float) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_json_alike(a[k], b[k], unrounded) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_json_alike(x, y, unrounded) for x, y in zip(a, b, strict=True))
    return _close(a, b, unrounded) if isinstance(a, float) and isinstance(b, float) else bool(a == b)


def _close(a: float, b: float, relative: float) -> bool:
    return math.isclose(a, b, rel_tol=relative, abs_tol=relative * 1e-3)
