"""Rows taken out of pandas at once, column by column: row by row, and cell by cell, it takes many times as long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as Python values, None where there is none."""
    import pyarrow as pa

    columns = pa.Table.from_pandas(frame, preserve_index=False).to_pydict()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


Side = dict[str, np.ndarray]  # by column
Sides = dict[str, tuple[Side, Side]]  # by cell its members and its controls


def by_cell(images: pd.DataFrame, names: Sequence[str], known: str) -> Sides:
    """Some columns of the image rows of each cell in the order of their index, float64, NaN where there is nothing.

    Args:
        known: rows without this column are left out; cells that have no others too.
    """
    rows = images[images[known].notna()]
    if rows.empty:
        return {}
    columns = {name: rows[name].to_numpy(dtype=float, na_value=np.nan) for name in names}
    index = rows["index"].to_numpy()
    places = rows.groupby(["cell_id", "split"], sort=False).indices

    def side(cell: str, split: str) -> Side:
        mine = places.get((cell, split), np.empty(0, dtype=np.intp))
        mine = mine[np.argsort(index[mine], kind="stable")]
        return {name: column[mine] for name, column in columns.items()}

    return {cell: (side(cell, "member"), side(cell, "control")) for cell in dict.fromkeys(cell for cell, _ in places)}
