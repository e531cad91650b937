"""32×32 tiles cut from the photographs that scikit-image ships. A class is a source photograph.

Tiles lie on a grid of stride 34, so that between any two there are at least 2 pixels: no pixel is in two tiles, and no tile touches
another. Grey photographs are repeated to RGB. Dropped are tiles without structure (standard deviation over the pixels, averaged over the
channels, below 0.05) and exact duplicates. Left out are photographs whose tiles stand for each other by chance (brick, retina, moon, text:
the nearest of twenty tiles of the same photograph often passes SSIM 0.4), near copies (the right view of the motorcycle) and drawings.

The binary task is ours: things (people, animals, objects; 0) against materials (fields of many small parts; 1). Both sides hold colour
and grey photographs, so that colour alone does not decide.
"""

from __future__ import annotations

import functools
from typing import ClassVar, NamedTuple

import numpy as np

from bench.api import DataSource, ImageSet
from bench.data.content import digest_of
from bench.data.duplicates import first_occurrences
from bench.data.photographs import shipped
from bench.data.picture import opened
from bench.registry import register

SIDE = 32
STRIDE = 34
MIN_STD = 0.05


class Photograph(NamedTuple):
    """A source: class name, file, the factor by which it is averaged down first, and its side of the binary task."""

    name: str
    file: str
    shrink: int
    material: bool


# The order mixes sides and colours, so that "the first K classes" is a fair task for every K.
PHOTOGRAPHS = (
    Photograph("astronaut", "astronaut.png", 1, False),
    Photograph("grass", "grass.png", 1, True),
    Photograph("cat", "chelsea.png", 1, False),
    Photograph("tissue", "ihc.png", 1, True),
    Photograph("coffee", "coffee.png", 1, False),
    Photograph("galaxies", "hubble_deep_field.jpg", 2, True),
    Photograph("motorcycle", "motorcycle_left.png", 1, False),
    Photograph("gravel", "gravel.png", 1, True),
    Photograph("cameraman", "camera.png", 1, False),
    Photograph("coins", "coins.png", 1, False),
    Photograph("rocket", "rocket.jpg", 1, False),
)


@register
class PhotoTiles(DataSource):
    """About 1 700 tiles, 3×32×32, of 11 photographs."""

    name: ClassVar[str] = "photo_tiles"
    summary: ClassVar[str] = "32×32 RGB tiles of 11 photographs, never overlapping or touching, embedded"

    def digest(self) -> str:
        """See DataSource."""
        recipe = f"photo_tiles 1 {SIDE} {STRIDE} {MIN_STD} {PHOTOGRAPHS}"
        return digest_of(recipe, [shipped(photograph.file) for photograph in PHOTOGRAPHS])

    def image_shape(self) -> tuple[int, int, int]:
        """See DataSource."""
        return (3, SIDE, SIDE)

    def load(self) -> ImageSet:
        """See DataSource."""
        return _load()


def tile_corners(height: int, width: int, side: int = SIDE, stride: int = STRIDE) -> list[tuple[int, int]]:
    """Top-left corners of the tiles of a picture, row by row."""
    return [(y, x) for y in range(0, height - side + 1, stride) for x in range(0, width - side + 1, stride)]


def read(photograph: Photograph) -> np.ndarray:
    """The photograph as float32 h × w × 3 in [0, 1], averaged down by its factor."""
    with opened(shipped(photograph.file), photograph.file) as file:
        pixels = np.asarray(file.convert("RGB"), dtype=np.float32) / 255
    f = photograph.shrink
    h, w = pixels.shape[0] // f, pixels.shape[1] // f
    return pixels[: h * f, : w * f].reshape(h, f, w, f, 3).mean((1, 3), dtype=np.float32)


@functools.lru_cache(maxsize=1)
def _load() -> ImageSet:
    return cut("photo_tiles", SIDE, STRIDE)


def cut(name: str, side: int, stride: int) -> ImageSet:
    """The set of all tiles of that side and stride, under that name."""
    tiles, labels = [], []
    for label, photograph in enumerate(PHOTOGRAPHS):
        pixels = read(photograph)
        for y, x in tile_corners(pixels.shape[0], pixels.shape[1], side, stride):
            tile = pixels[y : y + side, x : x + side]
            if tile.std((0, 1)).mean() >= MIN_STD:
                tiles.append(tile.transpose(2, 0, 1))
                labels.append(label)
    images = np.stack(tiles)
    keep = first_occurrences(images)
    return ImageSet(
        name,
        name,
        images[keep],
        np.array(labels, dtype=np.int64)[keep],
        tuple(photograph.name for photograph in PHOTOGRAPHS),
        binary=("thing", "material"),
        positive=frozenset(i for i, photograph in enumerate(PHOTOGRAPHS) if photograph.material),
    )
