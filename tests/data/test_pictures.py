"""Pictures as they are seen: grey or coloured by the whole set, upright, on white; and which files of a folder count."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bench.artefacts.images import read_images
from bench.data import parquet_images
from bench.errors import BenchError
from bench.registry import resolve_data


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path / "store"))


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def in_folder(root: Path, pictures: list[bytes], suffix: str = "png") -> Path:
    """The pictures by turns in the class folders a and b."""
    for i, picture in enumerate(pictures):
        (root / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (root / "ab"[i % 2] / f"{i // 2}.{suffix}").write_bytes(picture)
    return root


def read_everywhere(tmp_path: Path, pictures: list[bytes], suffix: str = "png") -> np.ndarray:
    """The pixels, n × c × h × w, 0 to 255, which every reader gives alike, in the order of the pictures."""
    root = in_folder(tmp_path / "root", pictures, suffix)
    table = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": pictures, "label": [i % 2 for i in range(len(pictures))]}), table)
    order = [*range(0, len(pictures), 2), *range(1, len(pictures), 2)]
    folder, parquet = resolve_data(f"folder:{root}"), resolve_data(f"parquet:{table}")
    images = parquet.load().images
    assert folder.image_shape() == parquet.image_shape() == images.shape[1:]
    assert (folder.load().images == images[order]).all()
    assert (read_images(root).images.numpy() * 255 == images[order]).all()
    return images


# --- channels


@pytest.mark.parametrize("odd", [0, 1, 5])
def test_one_coloured_picture_makes_a_coloured_set_wherever_it_stands(tmp_path: Path, odd: int) -> None:
    grey, colour = [noise(i, 6, 6) for i in range(6)], noise(9, 6, 6, 3)
    pictures = [encode(Image.fromarray(colour if i == odd else grey[i])) for i in range(6)]
    images = read_everywhere(tmp_path, pictures)
    assert images.shape == (6, 3, 6, 6)
    assert (images[odd] == colour.transpose(2, 0, 1)).all()
    for i in set(range(6)) - {odd}:
        assert (images[i] == grey[i]).all()  # three equal channels


def test_one_grey_picture_leaves_the_others_their_colours(tmp_path: Path) -> None:
    colours = [noise(i, 6, 6, 3) for i in range(5)]
    images = read_everywhere(tmp_path, [encode(Image.fromarray(noise(9, 6, 6))), *(encode(Image.fromarray(c)) for c in colours)])
    assert (images[1:] == np.stack(colours).transpose(0, 3, 1, 2)).all()


def test_a_colour_in_the_test_split_counts(tmp_path: Path) -> None:
    for name, shape, first in (("train", (6, 6), 0), ("test", (6, 6, 3), 8)):
        pictures = [encode(Image.fromarray(noise(first + i, *shape))) for i in range(4)]
        pq.write_table(pa.table({"image": pictures, "label": [0, 1] * 2}), tmp_path / f"{name}.parquet")
    source = resolve_data(f"parquet:{tmp_path}")
    images = source.load()
    assert images.test_images is not None
    assert source.image_shape() == images.images.shape[1:] == images.test_images.shape[1:] == (3, 6, 6)


def test_black_and_white_pictures_are_grey(tmp_path: Path) -> None:
    bits = [noise(i, 6, 6) > 127 for i in range(4)]
    images = read_everywhere(tmp_path, [encode(Image.fromarray(b)) for b in bits])
    assert (images[:, 0] == np.stack(bits) * 255).all()


def test_the_shape_is_told_by_headers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [encode(Image.fromarray(noise(i, 6, 8)), "BMP") for i in range(4)]
    root = in_folder(tmp_path / "root", pictures, "bmp")
    pq.write_table(pa.table({"image": pictures, "label": [0, 1] * 2}), tmp_path / "x.parquet")
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("it was decoded"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("it was decoded"))
    for name in (f"folder:{root}", f"parquet:{tmp_path / 'x.parquet'}"):
        assert resolve_data(name).image_shape() == (1, 6, 8)


# --- upright


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_pictures_are_turned_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    """As stored, by the table of the EXIF standard: where its first row and first column lie in the upright picture."""
    stored = {
        1: lambda u: u, 2: lambda u: u[:, ::-1], 3: lambda u: u[::-1, ::-1], 4: lambda u: u[::-1],
        5: lambda u: u.T, 6: lambda u: u.T[::-1], 7: lambda u: u[::-1, ::-1].T, 8: lambda u: u.T[:, ::-1],
    }[orientation]  # fmt: skip
    upright = [np.kron(noise(i, 3, 2), np.ones((8, 8), dtype=np.uint8)) for i in range(2)]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}}.get(kind, {})
    pictures = [encode(Image.fromarray(np.ascontiguousarray(stored(u))), kind, exif=exif, **options) for u in upright]
    images = read_everywhere(tmp_path, pictures, kind.lower())
    assert images.shape[2:] == (24, 16)
    assert np.abs(images[:, 0].astype(int) - np.stack(upright)).max() <= 4


def test_damaged_exif_leaves_a_picture_as_it_is(tmp_path: Path) -> None:
    pixels = [noise(i, 6, 8, 3) for i in range(2)]
    images = read_everywhere(tmp_path, [encode(Image.fromarray(p), exif=b"Exif\0\0MM\0*\xff\xff") for p in pixels])
    assert (images == np.stack(pixels).transpose(0, 3, 1, 2)).all()


# --- alpha


def half_transparent(mode: str) -> list[Image.Image]:
    pictures = []
    for seed in range(2):
        alpha = np.full((6, 6), 255, dtype=np.uint8)
        alpha[:, 3:] = 0
        own = noise(seed, 6, 6) if mode == "LA" else noise(seed, 6, 6, 3)
        pictures.append(Image.fromarray(np.dstack([own, alpha])))
    return pictures


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_lies_on_white(tmp_path: Path, mode: str) -> None:
    pictures = half_transparent(mode)
    images = read_everywhere(tmp_path, [encode(p) for p in pictures])
    assert images.shape[1] == (1 if mode == "LA" else 3)
    assert (images[:, :, :, 3:] == 255).all()
    for image, picture in zip(images, pictures, strict=True):
        assert (image[:, :, :3] == np.asarray(picture)[:, :3, :-1].transpose(2, 0, 1)).all()


def test_half_of_black_on_white_is_grey(tmp_path: Path) -> None:
    pictures = [encode(Image.new("RGBA", (6, 6), (0, 0, 0, alpha))) for alpha in (128, 64)]
    images = read_everywhere(tmp_path, pictures)
    assert [int(image.max()) for image in images] == [127, 191]


def test_a_transparent_colour_of_a_palette_lies_on_white(tmp_path: Path) -> None:
    pictures = []
    for seed in range(2):
        picture = Image.fromarray(noise(seed, 6, 6) % 2)
        picture = Image.frombytes("P", (6, 6), picture.tobytes())
        picture.putpalette([200, 10, 10, 10, 10, 200])
        pictures.append(encode(picture, transparency=0))
    images = read_everywhere(tmp_path, pictures)
    clear = np.stack([noise(seed, 6, 6) % 2 == 0 for seed in range(2)])
    assert (images.transpose(0, 2, 3, 1)[clear] == 255).all()
    assert (images.transpose(0, 2, 3, 1)[~clear] == (10, 10, 200)).all()


# --- more than 8 bits


def png_of_16_bits(colour: bool) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 4, 4, 16, 2 if colour else 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(range(8)) * (3 if colour else 1) for _ in range(4))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("colour", [False, True])
def test_sixteen_bits_a_channel_are_refused_and_not_cut_off(tmp_path: Path, colour: bool) -> None:
    root = in_folder(tmp_path / "root", [png_of_16_bits(colour)] * 2)
    for read in (lambda: resolve_data(f"folder:{root}").load(), lambda: read_images(root)):
        with pytest.raises(BenchError, match=r"0\.png cannot be decoded") as caught:
            read()
        assert "16" in caught.value.got


# --- which files count


PIXELS = [noise(i, 6, 6, 3) for i in range(6)]
READERS: list[Callable[[Path], object]] = [lambda root: resolve_data(f"folder:{root}").load(), read_images]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return in_folder(tmp_path / "root", [encode(Image.fromarray(p)) for p in PIXELS])


def test_hidden_files_and_what_is_no_picture_are_skipped(root: Path) -> None:
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "notes.txt"):
        (root / "a" / name).write_bytes(b"\0\5\x16\7 not a picture")
        (root / name).write_bytes(b"\0\5\x16\7 not a picture")
    (root / ".cache").mkdir()
    (root / ".cache" / "0.png").write_bytes(b"junk")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "._0.png").write_bytes(b"junk")
    (root / "empty").mkdir()
    images = resolve_data(f"folder:{root}").load()
    assert (images.class_names, len(images.images)) == (("a", "b"), 6)
    read = read_images(root)
    assert (read.names, len(read.images)) == (("a", "b"), 6)


def test_suffixes_in_capitals_and_linked_folders_count(root: Path, tmp_path: Path) -> None:
    (root / "a" / "0.png").rename(root / "a" / "0.PNG")
    (root / "b").rename(tmp_path / "elsewhere")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    assert len(resolve_data(f"folder:{root}").load().images) == len(read_images(root).images) == 6


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("spoil", "got"),
    [
        (lambda path: path.symlink_to("nowhere.png"), "a broken link, to nowhere.png"),
        (lambda path: path.symlink_to(path), "a link that leads back to itself"),
        (lambda path: path.mkdir(), "a folder"),
        (os.mkfifo, "a named pipe"),
    ],
)
def test_the_name_of_a_picture_without_a_file_is_named(root: Path, read: Callable[[Path], object], spoil: object, got: str) -> None:
    spoil(root / "a" / "x.png")  # type: ignore[operator]
    with pytest.raises(BenchError, match=r"x\.png is no file") as caught:
        read(root)
    assert got in caught.value.got
    assert "x.png is no file" in resolve_data(f"folder:{root}").missing()


@pytest.mark.parametrize("read", READERS)
def test_a_class_that_is_a_broken_link_is_named(root: Path, read: Callable[[Path], object]) -> None:
    (root / "c").symlink_to("nowhere")
    with pytest.raises(BenchError, match="c is no file"):
        read(root)


def test_a_flat_folder_skips_hidden_files_and_names_broken_links(root: Path) -> None:
    (root / "a" / "._1.png").write_bytes(b"junk")
    assert len(read_images(root / "a").images) == 3
    (root / "a" / "9.png").symlink_to("nowhere")
    with pytest.raises(BenchError, match=r"9\.png is no file"):
        read_images(root / "a")


def test_parquet_files_are_listed_by_the_same_rules(tmp_path: Path) -> None:
    for name in ("x.parquet", "._x.parquet", ".y.parquet"):
        (tmp_path / name).write_bytes(b"")
    assert parquet_images.find(tmp_path).train == (tmp_path / "x.parquet",)
    (tmp_path / "z.parquet").symlink_to("nowhere")
    with pytest.raises(BenchError, match=r"z\.parquet is no file"):
        parquet_images.find(tmp_path)


# --- columns that hold no pictures


PNG = encode(Image.fromarray(PIXELS[0]))


@pytest.mark.parametrize(
    ("column", "what", "got"),
    [
        (["a.png", "b.png"], "column 'image' of .* holds no pictures", "string: paths, URLs or encoded text"),
        ([[[1, 2], [3, 4]]] * 2, "column 'image' of .* holds no pictures", "list<element: list<element: int64>>"),
        ([{"path": "a.png"}] * 2, "column 'image' of .* holds no pictures", "struct<path: string>"),
        ([{"bytes": "iVBOR", "path": "a.png"}] * 2, "column 'image' of .* holds no pictures", "struct<bytes: string"),
        ([{"bytes": PNG}, {"bytes": None, "path": "b.png"}], "row 1 cannot be decoded", "paths without bytes, such as b.png"),
        ([{"bytes": PNG}, None], "row 1 cannot be decoded", "the cell is null"),
        ([PNG, None], "row 1 cannot be decoded", "the cell is null"),
        ([PNG, b"hello"], "row 1 cannot be decoded", "bytes that begin with b'hello'"),
        ([PNG, b""], "row 1 cannot be decoded", "0 bytes"),
    ],
)  # fmt: skip
def test_a_column_without_pictures_is_named(tmp_path: Path, column: object, what: str, got: str) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": column, "label": [0, 1]}), path)
    with pytest.raises(BenchError, match=what) as caught:
        resolve_data(f"parquet:{path}").load()
    assert got in caught.value.got
    assert "_io" not in str(caught.value)
    assert caught.value.hint


def test_a_file_that_is_no_picture_is_told_by_its_first_bytes(root: Path) -> None:
    (root / "a" / "0.png").write_bytes(b"<html>")
    with pytest.raises(BenchError, match=r"0\.png cannot be decoded") as caught:
        read_images(root)
    assert caught.value.got == "no picture, but bytes that begin with b'<html>'"
