"""The sets inside scikit-image's wheel."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.api import DataSource
from bench.data import photo_tiles
from bench.data.duplicates import first_occurrences
from bench.data.photographs import shipped
from bench.errors import BenchError
from bench.registry import entries, resolve_data


@pytest.mark.parametrize("name", ["lfw_faces", "photo_tiles"])
def test_an_embedded_set_keeps_the_promises_of_every_source(name: str) -> None:
    source = resolve_data(name)
    images = source.load()
    assert source.missing() == ""
    assert len(source.digest()) == 16
    assert int(source.digest(), 16) >= 0
    assert source.digest() == resolve_data(name).digest()
    assert images.images.dtype == np.float32
    assert images.images.min() >= 0
    assert images.images.max() <= 1
    assert images.images.shape[1:] == source.image_shape() == DataSource.image_shape(source)
    assert images.labels.dtype == np.int64
    assert set(images.labels) == set(range(len(images.class_names)))
    assert 0 < len(images.positive) < len(images.class_names)
    assert len(first_occurrences(images.images)) == len(images.images)
    assert resolve_data(name).load() is images  # decoded once per process


def test_faces_are_labelled_faces() -> None:
    from skimage.data import lfw_subset

    images = resolve_data("lfw_faces").load()
    assert np.allclose(images.images[:, 0], lfw_subset())
    assert images.class_names == ("non_face", "face")
    assert (images.labels == np.repeat([1, 0], 100)).all()
    # Faces are full of detail, most other patches are flat: the order of the file is as its documentation says.
    detail = np.abs(np.diff(images.images[:, 0], axis=1)).mean((1, 2))
    assert np.median(detail[images.labels == 1]) > 2 * np.median(detail[images.labels == 0])


def test_tiles_are_of_many_photographs_with_enough_each() -> None:
    images = resolve_data("photo_tiles").load()
    counts = np.bincount(images.labels)
    assert len(counts) >= 10
    assert counts.min() >= 60
    assert min((np.isin(images.labels, list(images.positive)) == side).sum() for side in (True, False)) >= 700


def test_every_tile_has_structure() -> None:
    images = resolve_data("photo_tiles").load().images
    assert images.std((2, 3)).mean(1).min() >= photo_tiles.MIN_STD


@given(st.integers(1, 300), st.integers(1, 300))
def test_tiles_never_overlap_or_touch(height: int, width: int) -> None:
    corners = photo_tiles.tile_corners(height, width)
    covered = np.zeros((height + 2, width + 2), dtype=int)  # a pixel of margin all round each tile
    for y, x in corners:
        assert y + photo_tiles.SIDE <= height
        assert x + photo_tiles.SIDE <= width
        covered[y : y + photo_tiles.SIDE + 2, x : x + photo_tiles.SIDE + 2] += 1
        assert covered[y + 1 : y + photo_tiles.SIDE + 1, x + 1 : x + photo_tiles.SIDE + 1].max() == 1


def test_each_tile_lies_in_its_photograph() -> None:
    images = resolve_data("photo_tiles").load()
    for label in (0, 5):  # at full size and averaged down
        photograph = photo_tiles.PHOTOGRAPHS[label]
        pixels = photo_tiles.read(photograph)
        tiles = {
            pixels[y : y + 32, x : x + 32].transpose(2, 0, 1).tobytes() for y, x in photo_tiles.tile_corners(*pixels.shape[:2])
        }  # fmt: skip
        assert all(image.tobytes() in tiles for image in images.images[images.labels == label])


def test_a_picture_that_is_not_shipped_is_named() -> None:
    with pytest.raises(BenchError, match=r"ships no nothing\.png"):
        shipped("nothing.png")


def test_reading_data_imports_no_torch() -> None:
    modules = sorted({entry.module for entry in entries("data").values()} | {"bench.data.split"})
    program = (
        f"import importlib, sys\nfor m in {modules!r}: importlib.import_module(m)\n"
        "from bench.registry import resolve_data\nresolve_data('lfw_faces').load()\nresolve_data('photo_tiles').load()\n"
        "assert not {'torch', 'torchvision'} & set(sys.modules), 'torch was imported'"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=280)
