"""Folders of pictures: which files count, in which order, and their pixels as one array.

Hidden files and folders (``._x.png``, ``.DS_Store``) are skipped. What has the name of a picture and is no file (a broken link, a folder)
is refused: left out silently, it would be an image or a class fewer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bench import regular
from bench.data.labels import class_order
from bench.data.picture import alike, channels_first, common_mode, mode_of, opened, pixels, shape_of
from bench.errors import BenchError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})


def files_in(folder: Path, suffixes: frozenset[str] = SUFFIXES) -> list[Path]:
    """The files of a folder with one of these suffixes, 2.png before 10.png.

    Raises:
        BenchError: the folder cannot be read, or such a name belongs to no file.
    """
    found = sorted((path for path in _visible(folder) if path.suffix.lower() in suffixes), key=_in_order)
    for path in found:
        if not path.is_file():
            raise _no_file(path)
    return found


def classes_in(root: Path) -> dict[str, list[Path]]:
    """The pictures of each sub-folder that holds some, in the order of the classes.

    Raises:
        BenchError: as `files_in`; or a link that might be a class leads nowhere.
    """
    found: dict[str, list[Path]] = {}
    for path in _visible(root):
        if path.is_symlink() and not path.exists():
            raise _no_file(path)
        if path.is_dir() and (files := files_in(path)):
            found[path.name] = files
    return {name: found[name] for name in class_order(found)}


def shape_in(files: Sequence[Path]) -> tuple[int, int, int]:
    """Channels, height and width of the pictures, from their headers alone.

    Raises:
        BenchError: one is no picture.
    """
    with opened(files[0], str(files[0])) as first:
        return shape_of(first, common_mode(_modes(files)))


def decode(files: Sequence[Path]) -> np.ndarray:
    """All pictures, uint8 n × c × h × w.

    Raises:
        BenchError: one cannot be decoded, or has another size than those before it; or they are too large once unpacked.
    """
    mode = common_mode(_modes(files))

    def pictures() -> Iterator[tuple[np.ndarray, str]]:
        for file in files:
            with opened(file, str(file)) as image:
                yield pixels(image, mode, str(file)), str(file)

    return channels_first(np.stack(alike(pictures())))


def _modes(files: Sequence[Path]) -> Iterator[str]:
    for file in files:
        with opened(file, str(file)) as image:
            yield mode_of(image)


def _visible(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise BenchError(
            f"{folder} cannot be read", expected="a folder", got=f"{type(error).__name__}: {error.strerror}", hint="check the path"
        ) from error


def _in_order(path: Path) -> list[tuple[bool, int, str]]:
    parts = re.split(r"([0-9]+)", path.name)  # text and digits in turn
    return [(k % 2 == 0, int(part) if k % 2 else 0, part) for k, part in enumerate(parts)]


def _no_file(path: Path) -> BenchError:
    try:
        regular.check(path)
        got = "a folder" if path.is_dir() else f"a broken link, to {path.readlink()}" if path.is_symlink() else "nothing"
    except BenchError as special:
        got = special.got
    return BenchError(f"{path} is no file", expected="a file", got=got, hint="mend, rename or remove it")
