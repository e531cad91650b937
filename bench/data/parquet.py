"""``parquet:PATH``: the user's own labelled images in a Parquet file, or in a folder of ``train*.parquet`` and maybe ``test*.parquet``."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.api import DataSource, ImageSet
from bench.data import parquet_images
from bench.data.assemble import image_set, without_duplicates
from bench.data.content import digest_of
from bench.data.decoded import decoded
from bench.data.labels import class_order
from bench.data.parquet_images import Splits, Table
from bench.errors import BenchError
from bench.registry import register
from bench.regular import path_of


@register
class ParquetSet(DataSource):
    """Labelled images of one size, Hugging Face layout.

    Classes stand by value where they are numbers, or text that is all numbers; else in alphabetical order. Binary task: two classes as they
    are; of more, the later half is positive. The set is grey where every picture is.
    """

    name: ClassVar[str] = "parquet"
    summary: ClassVar[str] = "parquet:PATH, your own images: columns img|image {bytes, path} and label"
    takes_path: ClassVar[bool] = True

    def files(self) -> Splits:
        """The files of the path.

        Raises:
            BenchError: there are none.
        """
        root = path_of(self.path)
        found = parquet_images.find(root) if root.exists() else Splits((), ())
        if not found.train:
            raise BenchError(
                f"parquet:{self.path} holds no training images",
                expected="a Parquet file, or a folder with train*.parquet",
                got="no such path" if not root.exists() else ", ".join(sorted(p.name for p in root.iterdir())[:8]) or "an empty folder",
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
        """See DataSource."""
        files = self.files()
        return digest_of(f"parquet 3 {len(files.train)}", [*files.train, *files.test])

    def image_shape(self) -> tuple[int, int, int]:
        """See DataSource."""
        return _shape(self.path, self.digest())

    def load(self) -> ImageSet:
        """See DataSource. Pixels are uint8, 0..255; the split scales them."""
        return _load(self.path, self.digest())


@functools.lru_cache(maxsize=64)
def _shape(path: str, digest: str) -> tuple[int, int, int]:
    files = ParquetSet(path).files()
    return parquet_images.shape_in([*files.train, *files.test])


@functools.lru_cache(maxsize=4)
def _load(path: str, digest: str) -> ImageSet:
    files = ParquetSet(path).files()

    def decode() -> dict[str, np.ndarray]:
        mode = "L" if _shape(path, digest)[0] == 1 else "RGB"
        train = parquet_images.decode(files.train, mode=mode)
        classes = _classes(train.labels)
        index = {value: k for k, value in enumerate(classes)}
        names = [train.names[value] if train.names else str(value) for value in classes]
        test_images, test_labels = None, None
        if files.test:
            test = parquet_images.decode(files.test, mode=mode)
            _check_test(path, train, test, classes)
            test_images, test_labels = test.images, np.array([index[value] for value in test.labels.tolist()])
        labels = np.array([index[value] for value in train.labels.tolist()])
        return {**without_duplicates(train.images, labels, test_images, test_labels), "names": np.array(names)}

    arrays = decoded(digest, decode)
    return image_set(f"parquet:{path}", f"parquet:{Path(path).name}", arrays, tuple(str(name) for name in arrays["names"]))


def _classes(labels: np.ndarray) -> list[Any]:
    """The labels that occur, in the order of their classes."""
    found = set(labels.tolist())
    return class_order(found) if labels.dtype.kind == "U" else sorted(found)


def _check_test(path: str, train: Table, test: Table, classes: list[Any]) -> None:
    """A test split has the size and the classes of the training split."""
    parquet_images.agree(train, test, f"the test split of parquet:{path}")
    if test.images.shape[1:] != train.images.shape[1:]:
        raise BenchError(
            f"the test images of parquet:{path} have another size",
            expected="×".join(map(str, train.images.shape[1:])),
            got="×".join(map(str, test.images.shape[1:])),
            hint="resize them",
        )
    unknown = sorted(set(test.labels.tolist()) - set(classes), key=str)
    if unknown:
        raise BenchError(
            f"the test split of parquet:{path} has classes that the training split lacks",
            expected=", ".join(map(str, classes)),
            got=", ".join(map(str, unknown)),
            hint="drop those rows",
        )
