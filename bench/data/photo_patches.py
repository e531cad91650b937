"""16×16 patches cut from the photographs that scikit-image ships: many small images where a task needs more than `photo_tiles` has.

The photographs, their classes and the rules are those of `photo_tiles` at half the side: patches lie on a grid of stride 17, so that at
least 1 pixel is between any two, patches without structure are dropped, and so are exact duplicates.
"""

from __future__ import annotations

import functools
from typing import ClassVar

from bench.api import DataSource, ImageSet
from bench.data.content import digest_of
from bench.data.photo_tiles import MIN_STD, PHOTOGRAPHS, cut
from bench.data.photographs import shipped
from bench.registry import register

SIDE = 16
STRIDE = 17


@register
class PhotoPatches(DataSource):
    """About 6 500 patches, 3×16×16, of 11 photographs."""

    name: ClassVar[str] = "photo_patches"
    summary: ClassVar[str] = "16×16 RGB patches of 11 photographs, never overlapping, embedded"

    def digest(self) -> str:
        """See DataSource."""
        recipe = f"photo_patches 1 {SIDE} {STRIDE} {MIN_STD} {PHOTOGRAPHS}"
        return digest_of(recipe, [shipped(photograph.file) for photograph in PHOTOGRAPHS])

    def image_shape(self) -> tuple[int, int, int]:
        """See DataSource."""
        return (3, SIDE, SIDE)

    def load(self) -> ImageSet:
        """See DataSource."""
        return _load()


@functools.lru_cache(maxsize=1)
def _load() -> ImageSet:
    return cut("photo_patches", SIDE, STRIDE)
