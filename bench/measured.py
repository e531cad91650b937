"""A table of measurements in a file of its own beside the results, such as ``anatomy.parquet``: columns of fixed types, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

EMPTY: Mapping[str, object] = {"string": "", "int64": 0, "float64": float("nan"), "binary": None}  # what a row has that says nothing


def frame(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Rows as the table, every column there and of its type.

    Args:
        columns: name → string, int64, float64 or binary.
    """
    import pandas as pd

    table = pd.DataFrame([{name: row.get(name, EMPTY[kind]) for name, kind in columns.items()} for row in rows], columns=list(columns))
    return table.astype({name: "object" if kind in ("string", "binary") else kind for name, kind in columns.items()})


def read(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """The table of a file; empty where there is none.

    Raises:
        BenchError: a file that is no such table.
    """
    import pandas as pd

    if not path.exists():
        return frame([], columns)
    hint = "delete it and run again"
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} cannot be read", expected="a Parquet file", got=str(error), hint=hint) from error
    missing = sorted(set(columns) - set(table.columns))
    if missing:
        raise BenchError(f"{path} is no {path.stem} table", expected=", ".join(columns), got=f"no {', '.join(missing)}", hint=hint)
    return table[list(columns)]
