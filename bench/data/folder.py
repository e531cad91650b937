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
from bench.data.picture import channels_first, mode_of, opened, pixels
from bench.errors import BenchError
from bench.registry import register

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
LAYOUT = "PATH/<class>/<image>.png (or .jpg, .bmp, .webp), at least two classes"


@register
class FolderSet(DataSource):
    """Images sorted into sub-folders. Classes in alphabetical order; binary task: two as they are, of more the later half is positive."""

    name: ClassVar[str] = "folder"
    summary: ClassVar[str] = "folder:PATH, your own images: a sub-folder a class, all of one size"
    takes_path: ClassVar[bool] = True

    def files(self) -> dict[str, list[Path]]:
        """The image files by class, sorted.

        Raises:
            BenchError: no such folder, or fewer than two classes in it.
        """
        root = Path(self.path).expanduser()
        folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")) if root.is_dir() else []
        found = {folder.name: sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES) for folder in folders}
        found = {name: files for name, files in found.items() if files}
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
        recipe = f"folder 2 {[(name, len(members)) for name, members in files.items()]}"
        return digest_of(recipe, [path for members in files.values() for path in members])

    def image_shape(self) -> tuple[int, int, int]:
        """See DataSource."""
        first = next(iter(self.files().values()))[0]
        with opened(first, str(first)) as image:
            return (1 if mode_of(image) == "L" else 3, image.height, image.width)

    def load(self) -> ImageSet:
        """See DataSource. Pixels are uint8, 0..255; the split scales them."""
        return _load(self.path, self.digest())


@functools.lru_cache(maxsize=4)
def _load(path: str, digest: str) -> ImageSet:
    by_class = FolderSet(path).files()

    def decode() -> dict[str, np.ndarray]:
        first = next(iter(by_class.values()))[0]
        with opened(first, str(first)) as image:
            mode = mode_of(image)
        pictures: list[np.ndarray] = []
        labels: list[int] = []
        for label, files in enumerate(by_class.values()):
            for file in files:
                with opened(file, str(file)) as image:
                    picture = pixels(image, mode, str(file))
                if pictures and picture.shape != pictures[0].shape:
                    raise BenchError(
                        f"{file} has another size than the images before it",
                        expected=f"{pictures[0].shape[1]}×{pictures[0].shape[0]}",
                        got=f"{picture.shape[1]}×{picture.shape[0]}",
                        hint="resize the images to one size, or take that file out",
                    )
                pictures.append(picture)
                labels.append(label)
        return without_duplicates(channels_first(np.stack(pictures)), np.array(labels, dtype=np.int64), None, None)

    return image_set(f"folder:{path}", f"folder:{Path(path).name}", decoded(digest, decode), tuple(by_class))
