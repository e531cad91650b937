"""Images in Parquet files of the Hugging Face layout: a column ``img`` or ``image`` of structs {bytes, path}, and a label column."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench.data.picture import channels_first, mode_of, opened, pixels
from bench.errors import BenchError

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "fine_label", "labels")
MAX_BYTES = 8 * 2**30  # of all images unpacked; CIFAR has 0.2 GiB
LAYOUT = "columns img|image (struct of bytes and path) and label"


class Splits(NamedTuple):
    """Parquet files by split; ``test`` is empty where there is none."""

    train: tuple[Path, ...]
    test: tuple[Path, ...]


class Table(NamedTuple):
    """What a split holds."""

    images: np.ndarray  # uint8, n × c × h × w
    labels: np.ndarray  # n, as they are in the file: integers or text
    names: tuple[str, ...]  # of the integers 0, 1, …, where the schema's metadata holds them


def find(path: Path) -> Splits:
    """The files of a Parquet file or folder: ``train*.parquet`` and ``test*.parquet``, or all of a folder without such names."""
    if path.is_file():
        return Splits((path,), ())
    train, test = tuple(sorted(path.glob("train*.parquet"))), tuple(sorted(path.glob("test*.parquet")))
    return Splits(train, test) if train or test else Splits(tuple(sorted(path.glob("*.parquet"))), ())


def decode(files: Sequence[Path], *, mode: str, label_columns: Sequence[str] = LABEL_COLUMNS) -> Table:
    """All images of a split, decoded to PIL's ``mode``, "L" or "RGB".

    Raises:
        BenchError: a broken file, missing columns, an image that cannot be decoded, or images of different sizes; it names file and row.
    """
    pictures: list[np.ndarray] = []
    unpacked = 0  # bytes
    labels: list[object] = []
    names: tuple[str, ...] = ()
    for path in files:
        encoded, values, own_names = _read(path, label_columns)
        names = names or own_names
        labels += values
        for row, value in enumerate(encoded):
            pictures.append(_decode_one(value, f"{path}, row {row}", mode))
            unpacked += pictures[-1].nbytes
            if unpacked > MAX_BYTES:
                raise _too_large(path, unpacked)
            if pictures[-1].shape != pictures[0].shape:
                raise BenchError(
                    f"{path}, row {row}: the image has another size than those before it",
                    expected=_size(pictures[0]),
                    got=_size(pictures[-1]),
                    hint="resize the images to one size",
                )
    if not pictures:
        raise BenchError(
            "no images in the Parquet files", expected=LAYOUT, got=", ".join(map(str, files)) or "no file", hint="check the path"
        )
    if None in labels:
        raise BenchError(
            f"row {labels.index(None)} of {files[0].parent} has no label", expected="a label in every row", hint="drop those rows"
        )
    return Table(channels_first(np.stack(pictures)), np.array(labels), names)


def first_picture(files: Sequence[Path]) -> Image.Image:
    """The first picture, its header read and no more: ``format``, ``mode``, ``width``, ``height``."""
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                column = _column(file.schema_arrow, IMAGE_COLUMNS, path)
                batch = next(file.iter_batches(1, columns=[column]), None)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _unreadable(path, error) from error
        if batch is not None and batch.num_rows:
            return opened(io.BytesIO(_bytes(batch.column(0)[0])), f"{path}, row 0")
    raise BenchError("no images in the Parquet files", expected=LAYOUT, got=", ".join(map(str, files)) or "no file", hint="check the path")


def first_shape(files: Sequence[Path]) -> tuple[int, int, int]:
    """Channels, height, width of the first picture."""
    with first_picture(files) as image:
        return (1 if mode_of(image) == "L" else 3, image.height, image.width)


def _decode_one(value: pa.Scalar, where: str, mode: str) -> np.ndarray:
    with opened(io.BytesIO(_bytes(value)), where) as image:
        return pixels(image, mode, where)


def _bytes(scalar: pa.Scalar) -> bytes:
    try:
        value = scalar.as_py()
    except UnicodeDecodeError:  # of the path beside the bytes
        value = None
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else b""  # no bytes: PIL then says that it is no picture


def _read(path: Path, label_columns: Sequence[str]) -> tuple[pa.Array, list[object], tuple[str, ...]]:
    """The encoded images and the labels of a file, and its class names if its metadata holds them."""
    try:
        footer = pq.read_metadata(path)
        said = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
        if said > MAX_BYTES:
            raise _too_large(path, said)
        schema = pq.read_schema(path)
        image, label = _column(schema, IMAGE_COLUMNS, path), _column(schema, label_columns, path)
        table = pq.read_table(path, columns=[image, label])
        labels = table[label].to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    return table[image], labels, _names_in(schema, label)


def _column(schema: pa.Schema, wanted: Sequence[str], path: Path) -> str:
    found = next((name for name in wanted if name in schema.names), None)
    if found is None:
        raise BenchError(
            f"{path} has no column {' or '.join(wanted)}", expected=LAYOUT, got=", ".join(schema.names), hint="rename the columns"
        )
    return found


def _names_in(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """Class names from the metadata that the ``datasets`` library writes."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features[label]["names"])
    except (KeyError, TypeError, ValueError):
        return ()


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}×{picture.shape[0]}"


def _too_large(path: Path, unpacked: int) -> BenchError:
    return BenchError(
        f"{path} is too large once unpacked",
        expected=f"images of at most {MAX_BYTES // 2**30} GiB",
        got=f"{unpacked / 2**30:.3g} GiB or more",
        hint="keep fewer images: targets here are trained on thousands at most",
    )


def _unreadable(path: Path, error: Exception) -> BenchError:
    return BenchError(
        f"{path} cannot be read as Parquet", expected=LAYOUT, got=f"{type(error).__name__}: {error}", hint="copy or download it again"
    )
