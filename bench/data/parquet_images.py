"""Images in Parquet files of the Hugging Face layout: a column ``img`` or ``image`` of structs {bytes, path}, and a label column.

The column of images may hold the bytes alone. Labels are whole numbers, text, truth values, or one-hot lists of one length.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench import regular
from bench.data import picture
from bench.data.label_column import Labels, is_text, read_labels
from bench.data.listing import files_in
from bench.data.picture import alike, channels_first, common_mode, mode_of, opened, pixels, shape_of, too_large, undecodable
from bench.errors import BenchError

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "fine_label", "labels")
LAYOUT = "columns img|image (struct of bytes and path) and label"


class Splits(NamedTuple):
    """Parquet files by split; ``test`` is empty where there is none."""

    train: tuple[Path, ...]
    test: tuple[Path, ...]


class Table(NamedTuple):
    """What a split holds."""

    images: np.ndarray  # uint8, n × c × h × w
    labels: np.ndarray  # n, as they are in the file: integers, booleans or text
    names: tuple[str, ...]  # of the integers 0, 1, …, where the schema's metadata holds them
    kind: str  # of the labels, in words


def find(path: Path) -> Splits:
    """The files of a Parquet file or folder: ``train*.parquet`` and ``test*.parquet``, or all of a folder without such names.

    Raises:
        BenchError: such a name belongs to no file. Hidden files are skipped.
    """
    if path.is_file():
        return Splits((path,), ())
    found = sorted(files_in(path, frozenset({".parquet"}))) if path.is_dir() else []
    train, test = (tuple(file for file in found if file.name.startswith(split)) for split in ("train", "test"))
    return Splits(train, test) if train or test else Splits(tuple(found), ())


def decode(files: Sequence[Path], *, mode: str, label_columns: Sequence[str] = LABEL_COLUMNS) -> Table:
    """All images of a split, decoded to PIL's ``mode``, "L" or "RGB".

    Raises:
        BenchError: a broken file, missing columns, an image that cannot be decoded, images of different sizes, or labels that are no
            classes or of several kinds; it names file and row.
    """
    labels: list[Labels] = []

    def each() -> Iterator[tuple[np.ndarray, str]]:
        for path in files:
            encoded, own = _read(path, label_columns)
            labels.append(own)
            agree(labels[0], own, str(path))
            for row, value in enumerate(encoded):
                where = f"{path}, row {row}"
                yield _decode_one(value, where, mode), where

    pictures = alike(each())
    if not pictures:
        raise BenchError(
            "no images in the Parquet files", expected=LAYOUT, got=", ".join(map(str, files)) or "no file", hint="check the path"
        )
    names = next((own.names for own in labels if own.names), ())
    return Table(channels_first(np.stack(pictures)), np.concatenate([own.values for own in labels]), names, labels[0].kind)


def agree(first: Labels | Table, other: Labels | Table, where: str) -> None:
    """Labels of several files mean the same.

    Raises:
        BenchError: they are of different kinds, or the metadata name the classes differently.
    """
    named = bool(first.names and other.names and first.names != other.names)
    if first.kind != other.kind or named:
        raise BenchError(
            f"the labels of {where} are others than those of the files before it",
            expected=", ".join(first.names) if named else first.kind,
            got=", ".join(other.names) if named else other.kind,
            hint="write all files with the same label column",
        )


def first_picture(files: Sequence[Path]) -> Image.Image:
    """The first picture, its header read and no more: ``format``, ``mode``, ``width``, ``height``.

    Raises:
        BenchError: there is none, or it is no picture.
    """
    for value, where in _encoded(files, 1):
        return opened(io.BytesIO(_bytes(value, where)), where)
    raise BenchError("no images in the Parquet files", expected=LAYOUT, got=", ".join(map(str, files)) or "no file", hint="check the path")


def shape_in(files: Sequence[Path]) -> tuple[int, int, int]:
    """Channels, height, width of the pictures, from their headers alone: coloured where one of them is.

    Raises:
        BenchError: as `first_picture`.
    """
    with first_picture(files) as image:
        return shape_of(image, common_mode(_modes(files)))


def _modes(files: Sequence[Path]) -> Iterator[str]:
    for value, where in _encoded(files):
        with opened(io.BytesIO(_bytes(value, where)), where) as image:
            yield mode_of(image)


def _encoded(files: Sequence[Path], at_once: int = 256) -> Iterator[tuple[pa.Scalar, str]]:
    """Each encoded image, and where it lies."""
    for path in files:
        row = 0
        try:
            _check_size(path)
            with pq.ParquetFile(path) as file:
                column = _image_column(file.schema_arrow, path)
                for batch in file.iter_batches(at_once, columns=[column]):
                    for value in batch.column(0):
                        yield value, f"{path}, row {row}"
                        row += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _unreadable(path, error) from error


def _decode_one(value: pa.Scalar, where: str, mode: str) -> np.ndarray:
    with opened(io.BytesIO(_bytes(value, where)), where) as image:
        return pixels(image, mode, where)


def _bytes(scalar: pa.Scalar, where: str) -> bytes:
    """The encoded picture in a cell of the column."""
    try:
        value = scalar.as_py()
    except UnicodeDecodeError:  # of the path beside the bytes
        value = {"bytes": scalar["bytes"].as_py()}
    data = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(data, bytes):
        return data
    path = value.get("path") if isinstance(value, dict) else None
    if path:
        raise undecodable(where, f"paths without bytes, such as {path}", "store the bytes too, or use folder:PATH")
    raise undecodable(where, "no picture: the cell is null", "drop those rows")


def _read(path: Path, label_columns: Sequence[str]) -> tuple[pa.Array, Labels]:
    """The encoded images and the labels of a file."""
    try:
        _check_size(path)
        schema = pq.read_schema(path)
        image, label = _image_column(schema, path), _column(schema, label_columns, path)
        table = pq.read_table(path, columns=[image, label])
        labels = read_labels(table[label], _feature(schema, label), f"column '{label}' of {path}")
    except (pa.ArrowException, OSError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(path, error) from error
    return table[image], labels


def _check_size(path: Path) -> None:
    """By what the footer says, before anything is read."""
    regular.check(path)
    footer = pq.read_metadata(path)
    said = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
    if said > picture.MAX_BYTES:
        raise too_large(str(path), said)


def _image_column(schema: pa.Schema, path: Path) -> str:
    """The name of the column of images, after a look that it can hold some."""
    name = _column(schema, IMAGE_COLUMNS, path)
    kind = schema.field(name).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        data = kind.field("bytes").type
    else:
        data = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_null)  # of null: rows say more
    if not any(test(data) for test in tests):
        text = is_text(data) or (pa.types.is_struct(data) and data.get_field_index("path") >= 0)
        raise BenchError(
            f"column '{name}' of {path} holds no pictures",
            expected="the bytes of PNG, JPEG, BMP or WebP pictures, alone or in a struct with the field bytes",
            got=f"{kind}" + (": paths, URLs or encoded text, without the bytes" if text else ""),
            hint="write the bytes of the files into the column, or use folder:PATH" if text else "encode each picture as PNG",
        )
    return name


def _column(schema: pa.Schema, wanted: Sequence[str], path: Path) -> str:
    found = next((name for name in wanted if name in schema.names), None)
    if found is None:
        raise BenchError(
            f"{path} has no column {' or '.join(wanted)}", expected=LAYOUT, got=", ".join(schema.names), hint="rename the columns"
        )
    return found


def _feature(schema: pa.Schema, label: str) -> object:
    """What the metadata that the ``datasets`` library writes say of a column; None where there are none."""
    try:
        return json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]
    except (KeyError, TypeError, ValueError):
        return None


def _unreadable(path: Path, error: Exception) -> BenchError:
    return BenchError(
        f"{path} cannot be read as Parquet", expected=LAYOUT, got=f"{type(error).__name__}: {error}", hint="copy or download it again"
    )
