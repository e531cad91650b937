"""Labels: what counts as a class, and in which order classes stand. The same rules for folders, Parquet columns and arrays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

import numpy as np

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def class_order(names: Iterable[str]) -> list[str]:
    """The names in the order of their classes: as torchvision sorts folders (by code points), unless all are numbers: then by value."""
    names = list(names)
    if all(NUMBER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (Decimal(name), name))
    return sorted(names)


def one_hot(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The class of each row of n × k numbers, and which rows name none: those that are not a single 1 among zeros.

    Returns:
        int64 labels of shape n, without meaning where a row names no class; and a mask of shape n, true where a row is wrong.
    """
    wrong = ~((rows == 0) | (rows == 1)).all(1) | ((rows == 1).sum(1) != 1)
    return (rows == 1).argmax(1).astype(np.int64), wrong


def row_list(rows: Sequence[int] | np.ndarray) -> str:
    """``row 3``, ``rows 1, 2, 5``, or ``rows 1, 2, 5, 8, 9 and 7 more``."""
    shown = ", ".join(str(int(row)) for row in rows[:5])
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{more}"
