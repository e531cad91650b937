"""A source of labelled images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class ImageSet:
    """A labelled set of images, before any split. Exact duplicates have been removed by the source."""

    name: str  # as in Setting.dataset
    display: str  # as tables name it, e.g. "cifar10 (JPEG copy)"
    images: np.ndarray  # n × c × h × w, float32 in [0, 1], or uint8 in 0..255 (large sets; the split scales what it draws)
    labels: np.ndarray  # int64, n
    class_names: tuple[str, ...]
    binary: tuple[str, ...] = ("", "")  # names of the two sides of the binary task, negative first
    positive: frozenset[int] = frozenset()  # classes on the positive side of the binary task
    test_images: np.ndarray | None = None  # the source's own test split, if it has one
    test_labels: np.ndarray | None = None


class DataSource(ABC):
    """A named source of images. ``name:ARG`` in a setting passes ARG to the constructor of a source that takes one."""

    name: ClassVar[str]
    summary: ClassVar[str]  # one line for `ls`
    takes_path: ClassVar[bool] = False
    mirrored: ClassVar[bool] = True  # whether an image's mirror image is of the same kind; not so of digits and letters

    def __init__(self, path: str = "") -> None:
        self.path = path

    def missing(self) -> str:
        """An empty string if the data is here, or what is missing and what to do about it."""
        return ""

    @abstractmethod
    def digest(self) -> str:
        """16 hex digits of SHA-256 over the content (and over the way it is decoded); cheap, without decoding."""

    @abstractmethod
    def load(self) -> ImageSet:
        """The images. Raises BenchError when they are missing or malformed."""

    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width of every image; override it where that is known without decoding them all."""
        c, h, w = self.load().images.shape[1:]
        return int(c), int(h), int(w)
