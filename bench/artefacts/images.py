"""Images that somebody brings: a folder of pictures, an array in a file, or a data source; and their labels where they have any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench import registry
from bench.artefacts.tensors import FORMATS, dense, load
from bench.data.labels import one_hot, row_list
from bench.data.listing import classes_in, decode, files_in
from bench.errors import BenchError
from bench.regular import path_of

IMAGE_KEYS = ("images", "x", "X", "reconstructions", "data")
LABEL_KEYS = ("labels", "label", "y")
CHANNELS = (1, 3)  # grey or colour


@dataclass(frozen=True)
class Pictures:
    """Images in the order of their file, as float32. Whole numbers as `as_images` reads them; others are left as they are."""

    images: Float[Tensor, "n c h w"]
    labels: Int[Tensor, " n"] | None
    names: tuple[str, ...]  # of the labels 0, 1, …, where sub-folders or a data source name them
    confidence: Float[Tensor, " n"] | None
    notes: tuple[str, ...]


def read_images(path: Path | str, shape: tuple[int, int, int] | None = None) -> Pictures:
    """Reads ``folder:PATH`` or ``parquet:PATH``, a folder of pictures (flat, or a sub-folder a class), or a file of arrays.

    A file holds one array of n × c × h × w, n × h × w (grey), n × h × w × c, or n × pixels; among several, the one named ``images`` or
    ``x`` counts, and ``labels`` or ``y`` beside it.

    Args:
        shape: c, h, w of an image; needed for n × pixels.

    Raises:
        BenchError: nothing readable is there, or no images, or not all numbers are finite.
    """
    text = str(path)
    if text.partition(":")[0] in ("folder", "parquet") and ":" in text:
        return _source(text)
    folder = path_of(text)
    return _folder(folder) if folder.is_dir() else _file(folder, shape)


def read_labels(path: Path | str, n: int) -> Int[Tensor, " n"]:
    """n labels from a file: integers from 0, the authors' −1 and 1 for two classes, or one-hot rows.

    Raises:
        BenchError: no such numbers.
    """
    loaded = load(path)
    value = next((loaded[key] for key in LABEL_KEYS if key in loaded), None) if isinstance(loaded, Mapping) else loaded
    if value is None and isinstance(loaded, Mapping) and len(loaded) == 1:
        value = next(iter(loaded.values()))
    return _labels(dense(value, f"labels of {path}"), n, str(path))


def parse_shape(text: str) -> tuple[int, int, int] | None:
    """``3x32x32`` as numbers; None for an empty text.

    Raises:
        BenchError: anything else.
    """
    if not text:
        return None
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) != 3 or not all(side.isdigit() and 1 <= int(side) <= 65_536 for side in sides):
        raise BenchError(f"--shape {text}: not understood", expected="channels, height and width, as in 3x32x32", got=repr(text))
    return int(sides[0]), int(sides[1]), int(sides[2])


def _labels(values: Tensor, n: int, where: str) -> Int[Tensor, " n"]:
    flat = _from_one_hot(values, where) if values.ndim == 2 and len(values) == n and values.shape[1] > 1 else values.flatten()
    missing = torch.isnan(flat)
    whole = not flat.is_floating_point() or bool((flat == flat.round()).all())  # false for NaN too
    flat = flat.long() if whole else flat
    if whole and set(flat.tolist()) <= {-1, 1} and -1 in flat:
        flat = (flat + 1) // 2
    if len(flat) != n or not whole or int(flat.min()) < 0 or int(flat.max()) >= 1000:
        rows = missing.nonzero().flatten().numpy()
        raise BenchError(
            f"the labels of {where} do not fit",
            expected=f"{n} whole numbers from 0 to 999, or {n} one-hot rows",
            got=f"no label (NaN) in {row_list(rows)}" if len(rows) else f"shape {tuple(values.shape)}, from {flat.min()} to {flat.max()}",
        )
    return flat


def _from_one_hot(rows: Tensor, where: str) -> Int[Tensor, " n"]:
    """The classes of n × k numbers, each row one 1 among zeros."""
    labels, wrong = one_hot(rows.double().numpy())
    if wrong.any():
        row = int(wrong.argmax())
        raise BenchError(
            f"the labels of {where} are neither classes nor one-hot",
            expected=f"whole numbers from 0 to 999, or rows of {rows.shape[1]} with one 1 and zeros",
            got=f"{[round(value, 4) for value in rows[row].tolist()[:10]]} in row {row}",
        )
    return torch.from_numpy(labels)


def _source(text: str) -> Pictures:
    found = registry.resolve_data(text).load()
    images = torch.from_numpy(found.images.astype(np.float32) / (255 if found.images.dtype == np.uint8 else 1))
    return Pictures(images, torch.from_numpy(found.labels.astype(np.int64)), found.class_names, None, ())


# --- folders ----------------------------------------------------------------------------------------------------------------------------


def _folder(root: Path) -> Pictures:
    """Pictures of one size, in the order of `bench.data.listing`."""
    classes = classes_in(root)
    flat = files_in(root)
    if flat and classes:
        raise BenchError(
            f"{root} holds pictures beside sub-folders with pictures",
            expected="either, not both",
            got=f"{flat[0].name}, {next(iter(classes))}/",
        )
    files = flat or [file for own in classes.values() for file in own]
    if not files:
        raise BenchError(f"no pictures in {root}", expected="PNG, JPEG, BMP or WebP, all of one size; maybe in a sub-folder a class")
    labels = None if flat else torch.tensor([k for k, own in enumerate(classes.values()) for _ in own])
    images = torch.from_numpy(decode(files).astype(np.float32) / np.float32(255))
    return Pictures(images, labels, tuple(classes), None, ())


# --- files ------------------------------------------------------------------------------------------------------------------------------


def _file(path: Path, shape: tuple[int, int, int] | None) -> Pictures:
    loaded = load(path)
    named: Mapping[str, object] = loaded if isinstance(loaded, Mapping) else {"images": loaded}
    name = next((key for key in IMAGE_KEYS if key in named), "")
    if not name:
        arrays = [str(key) for key, value in named.items() if isinstance(value, Tensor) and value.ndim >= 2]
        if len(arrays) != 1:
            raise BenchError(
                f"{path} does not say which of its entries are images",
                expected=f"one array, or one named {' or '.join(IMAGE_KEYS[:2])}",
                got=", ".join(str(key) for key in list(named)[:6]) or "nothing",
            )
        name = arrays[0]
    notes: list[str] = []
    images = as_images(dense(named[name], f"{path}: entry '{name}'"), path, shape, notes)
    labels, confidence = None, None
    label = next((key for key in LABEL_KEYS if key in named and key != name), "")
    if label:
        labels = _labels(dense(named[label], f"{path}: entry '{label}'"), len(images), str(path))
    if "confidence" in named:
        values = dense(named["confidence"], f"{path}: entry 'confidence'").flatten().float()
        if len(values) != len(images) or not bool(torch.isfinite(values).all()):
            raise BenchError(
                f"the confidences of {path} do not fit its images", expected=f"{len(images)} finite numbers", got=f"{len(values)}"
            )
        confidence = values
    return Pictures(images, labels, (), confidence, tuple(notes))


def as_images(values: Tensor, path: Path, shape: tuple[int, int, int] | None, notes: list[str]) -> Float[Tensor, "n c h w"]:
    """An array of a file as float32 images. Notes grow by what was assumed.

    Whole numbers are pixels of 8 bits, and divided by 255; truth values, and whole numbers of which none is above 1, are black and white.

    Raises:
        BenchError: it holds no images, or not all are finite.
    """
    if values.ndim == 3:
        values = values.unsqueeze(1)
    elif values.ndim == 2:
        if shape is None:
            raise BenchError(
                f"{path} holds flat images", expected="channels, height and width", got=_sides(values.shape), hint="--shape 3x32x32"
            )
        if values.shape[1] != shape[0] * shape[1] * shape[2]:
            raise BenchError(
                f"{path} holds flat images of another size", expected=f"{_sides(shape)} numbers an image", got=str(values.shape[1])
            )
        values = values.reshape(-1, *shape)
    elif values.ndim == 4 and values.shape[1] not in CHANNELS and values.shape[3] in CHANNELS:
        values = values.permute(0, 3, 1, 2)
        notes.append(f"{path.name}: channels taken from the last axis")
    if values.ndim != 4 or values.shape[1] not in CHANNELS or min(values.shape[2:]) < 2:
        raise BenchError(
            f"{path} holds no images",
            expected="an array n × c × h × w with 1 or 3 channels, n × h × w, or n × pixels",
            got=_sides(values.shape),
        )
    if not values.is_floating_point():
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 255:
            hint = "divide by 65535" if low >= 0 and high < 2**16 else "undo the normalisation" if low < 0 else ""
            raise BenchError(f"{path} holds whole numbers that are no pixels", expected="0 to 255", got=f"{low} to {high}", hint=hint)
        if high == 1 and values.dtype != torch.bool:
            notes.append(f"{path.name}: all pixels are 0 or 1, taken as black and white")
        values = values.double() / (255 if high > 1 else 1)
    values = values.to(torch.float32)
    bad = int((~torch.isfinite(values)).flatten(1).any(1).sum())
    if bad:
        raise BenchError(f"{path} holds NaN or infinity", expected="finite numbers", got=f"{bad} of {len(values)} images with them")
    return values.contiguous()


def _sides(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def in_range(pictures: Pictures, where: str) -> Pictures:
    """The same, after a look that the pixels are those of images.

    Raises:
        BenchError: values outside [0, 1].
    """
    check_range(pictures.images, where)
    return pictures


def check_range(images: Tensor, where: str) -> None:
    """Raises BenchError for values outside [0, 1]."""
    low, high = float(images.min()), float(images.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise BenchError(
            f"{where} holds no images in [0, 1]",
            expected=f"real images: pixels of 8 bits, or numbers in [0, 1] ({FORMATS}, or pictures)",
            got=f"{low:.3g} to {high:.3g}",
            hint="divide by 255, or save them as 8 bits" if low >= 0 and 2 < high <= 255 else "undo the normalisation before saving them",
        )
