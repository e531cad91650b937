"""Faces and other patches, 25×25 grey, from *Labeled Faces in the Wild* (Huang et al. 2007) as scikit-image ships them."""

from __future__ import annotations

import functools
from typing import ClassVar

import numpy as np

from bench.api import DataSource, ImageSet
from bench.data.content import digest_of
from bench.data.photographs import shipped
from bench.registry import register

FILE = "lfw_subset.npy"


@register
class LfwFaces(DataSource):
    """100 faces and 100 patches without one, 1×25×25. The binary task: face (1) or not (0)."""

    name: ClassVar[str] = "lfw_faces"
    summary: ClassVar[str] = "100 faces and 100 other patches, 25×25 grey, embedded"

    def digest(self) -> str:
        """See DataSource."""
        return digest_of("lfw_faces 1", [shipped(FILE)])

    def image_shape(self) -> tuple[int, int, int]:
        """See DataSource."""
        return (1, 25, 25)

    def load(self) -> ImageSet:
        """See DataSource."""
        return _load()


@functools.lru_cache(maxsize=1)
def _load() -> ImageSet:
    images = np.load(shipped(FILE), allow_pickle=False).astype(np.float32)[:, None]
    faces_first = np.repeat(np.array([1, 0], dtype=np.int64), 100)  # scikit-image: the first 100 are faces, the next 100 are not
    names = ("non_face", "face")
    return ImageSet("lfw_faces", "lfw_faces", images, faces_first, names, binary=names, positive=frozenset({1}))
