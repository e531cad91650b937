"""A column of labels in a Parquet file: which types are classes, and what is refused instead of guessed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.data.labels import one_hot, row_list
from bench.errors import BenchError

WHOLE, TEXT, TRUTH = "whole numbers", "text", "true and false"
NO_TEXT = frozenset({"", "nan", "NaN", "<NA>"})  # what a missing value becomes where a column is made text
EXACT = 2**53  # above it a float64 no longer holds every whole number
CLASSES = f"{WHOLE}, {TEXT}, {TRUTH}, or one-hot lists of one length"


class Labels(NamedTuple):
    """The labels of a file."""

    values: np.ndarray  # n: int64, bool, or text
    names: tuple[str, ...]  # of the integers 0, 1, …, where the metadata hold them
    kind: str  # in words; labels of two files can be compared where it is the same


def read_labels(column: pa.ChunkedArray, feature: object, where: str) -> Labels:
    """The labels of a column.

    Args:
        feature: what the metadata of the ``datasets`` library say of the column; None where there are none.
        where: the column and its file, for messages.

    Raises:
        BenchError: a type that is no class, a row without a label, or a list that is not one-hot; it names the type and the rows.
    """
    said = str(column.type)
    column = _plain(column)
    kind = column.type
    _refuse_missing(column.is_null().to_numpy(), where)
    if pa.types.is_boolean(kind):
        return Labels(column.to_numpy(), (), TRUTH)
    if is_text(kind):
        texts = column.to_pylist()
        _refuse_missing(np.array([text.strip() in NO_TEXT for text in texts], dtype=bool), where)
        return Labels(np.array(texts, dtype=str), (), TEXT)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = _whole(column, said, where)
        names = _names(feature, where)
        _refuse_missing((values == -1) & bool(names), where)  # how that library marks a class that is not known
        if names and len(values) and (values.min() < 0 or values.max() >= len(names)):
            raise BenchError(
                f"{where} holds classes without a name",
                expected=f"0 to {len(names) - 1}, as its metadata name them",
                got=f"{values.min()} to {values.max()}",
                hint="correct the labels, or the names in the metadata",
            )
        return Labels(values, names, WHOLE)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _one_hot(column, said, feature, where)
    raise _no_classes(said, "", where)


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is text, however it is laid out."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values without the wrapping of an extension type or a dictionary."""
    if isinstance(column.type, pa.BaseExtensionType):
        return _plain(pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type))
    if pa.types.is_dictionary(column.type):
        return pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], column.type.value_type)
    return column


def _whole(column: pa.ChunkedArray, said: str, where: str) -> np.ndarray:
    """Whole numbers of any type, as int64."""
    if pa.types.is_floating(column.type):
        _refuse_missing(np.isnan(column.to_numpy()), where)
    numbers = column.to_pylist()
    wrong = np.array([abs(number) > EXACT or number != int(number) for number in numbers], dtype=bool)
    if wrong.any():
        row = int(wrong.argmax())
        raise _no_classes(said, f"{numbers[row]} in row {row}", where)
    return np.array([int(number) for number in numbers], dtype=np.int64)


def _one_hot(column: pa.ChunkedArray, said: str, feature: object, where: str) -> Labels:
    """Lists of one 1 among zeros, as classes. A list of two class numbers looks alike; the metadata tell where it is one."""
    flat = _plain(pc.list_flatten(column))
    lengths = set(pc.list_value_length(column).to_pylist())
    width = max(lengths, default=0)
    if lengths != {width} or width < 2:
        raise _no_classes(said, f"lists of {' or '.join(map(str, sorted(lengths)[:5]))}" if lengths else "no rows", where)
    number = pa.types.is_integer(flat.type) or pa.types.is_floating(flat.type) or pa.types.is_boolean(flat.type)
    if not number or "ClassLabel" in str(feature):
        raise _no_classes(said, "lists of class numbers" if number else "", where)
    rows = pc.cast(flat, pa.float64(), safe=False).to_numpy().reshape(-1, width)  # null as NaN, which is neither 0 nor 1
    values, wrong = one_hot(rows)
    if wrong.any():
        row = int(wrong.argmax())
        raise _no_classes(said, f"[{', '.join(f'{value:g}' for value in rows[row][:10])}{', …' * (width > 10)}] in row {row}", where)
    return Labels(values, (), f"one-hot lists of {width}")


def _names(feature: object, where: str) -> tuple[str, ...]:
    names = feature.get("names") if isinstance(feature, dict) else None
    if names is None:
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) and _is_writable(name) for name in names):
        raise BenchError(
            f"the metadata of {where} do not name its classes",
            expected="a list of texts, one a class",
            got=str(names)[:100],
            hint="correct the names, or remove the metadata",
        )
    return tuple(names)


def _is_writable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # half a character, as JSON may hold
        return False
    return True


def _refuse_missing(missing: np.ndarray, where: str) -> None:
    if missing.any():
        rows = np.flatnonzero(missing)
        raise BenchError(
            f"{row_list(rows)} of {where} {'has' if len(rows) == 1 else 'have'} no label",
            expected="a label in every row",
            got=f"{len(rows)} of {len(missing)} rows without one",
            hint="drop those rows",
        )


def _no_classes(said: str, value: str, where: str) -> BenchError:
    return BenchError(
        f"{where} holds no classes",
        expected=CLASSES,
        got=f"{said}: {value}" if value else said,
        hint="write one class a row, as a whole number or a name",
    )
