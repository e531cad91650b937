"""Images that somebody brings: a folder of pictures, an array in a file, or a data source; and their labels where they have any."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench import registry
from bench.artefacts.tensors import FORMATS, dense, load
from bench.data.folder import SUFFIXES
from bench.data.picture import channels_first, mode_of, opened, pixels
from bench.errors import BenchError

IMAGE_KEYS = ("images", "x", "X", "reconstructions", "data")
LABEL_KEYS = ("labels", "label", "y")
CHANNELS = (1, 3)  # grey or colour


@dataclass(frozen=True)
class Pictures:
    """Images in the order of their file, as float32. Pixels of 8 bits are divided by 255; other numbers are left as they are."""

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
    folder = Path(text).expanduser()
    return _folder(folder) if folder.is_dir() else _file(folder, shape)


def read_labels(path: Path | str, n: int) -> Int[Tensor, " n"]:
    """n labels from a file: integers from 0, or the authors' −1 and 1 for two classes.

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
    flat = values.flatten()
    whole = not flat.is_floating_point() or bool((flat == flat.round()).all())  # false for NaN too
    flat = flat.long() if whole else flat
    if whole and set(flat.tolist()) <= {-1, 1} and -1 in flat:
        flat = (flat + 1) // 2
    if len(flat) != n or not whole or int(flat.min()) < 0 or int(flat.max()) >= 1000:
        raise BenchError(
            f"the labels of {where} do not fit",
            expected=f"{n} whole numbers from 0 to 999",
            got=f"shape {tuple(values.shape)}, from {flat.min()} to {flat.max()}",
        )
    return flat


def _source(text: str) -> Pictures:
    found = registry.resolve_data(text).load()
    images = torch.from_numpy(found.images.astype(np.float32) / (255 if found.images.dtype == np.uint8 else 1))
    return Pictures(images, torch.from_numpy(found.labels.astype(np.int64)), found.class_names, None, ())


# --- folders ----------------------------------------------------------------------------------------------------------------------------


def _folder(root: Path) -> Pictures:
    """Pictures of one size; 2.png comes before 10.png."""
    classes = {sub.name: _pictures_in(sub) for sub in _in_order(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))}
    classes = {name: files for name, files in classes.items() if files}
    flat = _pictures_in(root)
    if flat and classes:
        raise BenchError(
            f"{root} holds pictures beside sub-folders with pictures",
            expected="either, not both",
            got=f"{flat[0].name}, {next(iter(classes))}/",
        )
    files = flat or [file for own in classes.values() for file in own]
    if not files:
        raise BenchError(f"no pictures in {root}", expected="PNG, JPEG, BMP or WebP, all of one size; maybe in a sub-folder a class")
    with opened(files[0], str(files[0])) as first:
        mode = mode_of(first)
    stack: list[np.ndarray] = []
    for file in files:
        with opened(file, str(file)) as image:
            stack.append(pixels(image, mode, str(file)))
        if stack[-1].shape != stack[0].shape:
            raise BenchError(
                f"{file} has another size than the pictures before it",
                expected="×".join(map(str, stack[0].shape[1::-1])),
                got="×".join(map(str, stack[-1].shape[1::-1])),
            )
    labels = None if flat else torch.tensor([k for k, own in enumerate(classes.values()) for _ in own])
    images = torch.from_numpy(channels_first(np.stack(stack)).astype(np.float32) / np.float32(255))
    return Pictures(images, labels, tuple(classes), None, ())


def _pictures_in(folder: Path) -> list[Path]:
    return _in_order(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


def _in_order(paths: object) -> list[Path]:
    def key(path: Path) -> list[tuple[bool, int, str]]:
        return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"([0-9]+)", path.name)]

    return sorted(paths, key=key)  # type: ignore[call-overload, no-any-return]


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
    """An array of a file as float32 images; whole numbers are pixels of 8 bits. Notes grow by what was assumed.

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
        if values.dtype != torch.uint8 and (int(values.min()) < 0 or int(values.max()) > 255):
            raise BenchError(f"{path} holds whole numbers that are no pixels", expected="0 to 255", got=f"{values.min()} to {values.max()}")
        values = values.double() / 255
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
    low, high = float(pictures.images.min()), float(pictures.images.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise BenchError(
            f"{where} holds no images in [0, 1]",
            expected=f"real images: pixels of 8 bits, or numbers in [0, 1] ({FORMATS}, or pictures)",
            got=f"{low:.3g} to {high:.3g}",
            hint="divide by 255, or save them as 8 bits" if low >= 0 and 2 < high <= 255 else "undo the normalisation before saving them",
        )
    return pictures
