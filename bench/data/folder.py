"""``folder:PATH``: the user's own images, a sub-folder a class (PNG, JPEG, BMP, WebP), all of one size."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import ClassVar

import numpy as np

from bench.api import DataSource, ImageSet
from bench.data.assemble import image_set, without_duplicates
from bench.data.content import digest_of
from bench.data.decoded import decoded
from bench.data.listing import classes_in, decode, shape_in
from bench.errors import BenchError
from bench.registry import register
from bench.regular import path_of

LAYOUT = "PATH/<class>/<image>.png (or .jpg, .bmp, .webp), at least two classes"


@register
class FolderSet(DataSource):
    """Images sorted into sub-folders: classes, in alphabetical order, or by value where all names are numbers.

    Binary task: two classes as they are, of more the later half is positive. The set is grey where every picture is.
    """

    name: ClassVar[str] = "folder"
    summary: ClassVar[str] = "folder:PATH, your own images: a sub-folder a class, all of one size"
    takes_path: ClassVar[bool] = True

    def files(self) -> dict[str, list[Path]]:
        """The image files by class, in order.

        Raises:
            BenchError: no such folder, fewer than two classes in it, or a picture's name that belongs to no file.
        """
        root = path_of(self.path)
        found = classes_in(root) if root.is_dir() else {}
        if len(found) < 2:
            raise BenchError(
                f"folder:{self.path} holds no labelled images",
                expected=LAYOUT,
                got="no such folder" if not root.is_dir() else f"sub-folders with images: {', '.join(found) or 'none'}",
                hint="check the path; it is taken from the current folder",
            )
        return found

    def missing(self) -> str:
        """See DataSource."""
        try:
            self.files()
        except BenchError as error:
            return f"{error.what}; {error.hint}"
        return ""

    def digest(self) -> str:
        """See DataSource. File names count only by the class that they give and by their order."""
        files = self.files()
        recipe = f"folder 3 {[(name, len(members)) for name, members in files.items()]}"
        return digest_of(recipe, [path for members in files.values() for path in members])

    def image_shape(self) -> tuple[int, int, int]:
        """See DataSource."""
        return _shape(self.path, self.digest())

    def load(self) -> ImageSet:
        """See DataSource. Pixels are uint8, 0..255; the split scales them."""
        return _load(self.path, self.digest())


@functools.lru_cache(maxsize=64)
def _shape(path: str, digest: str) -> tuple[int, int, int]:
    return shape_in([file for files in FolderSet(path).files().values() for file in files])


@functools.lru_cache(maxsize=4)
def _load(path: str, digest: str) -> ImageSet:
    by_class = FolderSet(path).files()

    def pixels() -> dict[str, np.ndarray]:
        labels = np.repeat(np.arange(len(by_class)), [len(files) for files in by_class.values()])
        return without_duplicates(decode([file for files in by_class.values() for file in files]), labels, None, None)

    return image_set(f"folder:{path}", f"folder:{Path(path).name}", decoded(digest, pixels), tuple(by_class))
