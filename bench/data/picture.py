"""One encoded picture: opened, judged grey or coloured, decoded to 8 bits a channel; with errors that name where it lies.

It is read as it is seen: turned upright as its EXIF orientation says, and what is transparent lies on white.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from bench import regular
from bench.errors import BenchError

# Of PIL's forty decoders those of the formats in which people keep images: one hands a file to another program, few are much tested.
DECODERS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")
GREY = frozenset({"1", "L", "LA"})
MAX_PIXELS = 4096 * 4096  # of one picture; what unpacks to more is no image of a training set
MAX_ENCODED = 128 * 2**20  # bytes of one picture's file: more than so many pixels take without compression
MAX_BYTES = 8 * 2**30  # of all images of a set unpacked; CIFAR has 0.2 GiB
COLOUR = frozenset({"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX", "RGBa"})
TRANSPARENT = frozenset({"LA", "PA", "RGBA", "RGBa"})  # modes with alpha; of others, info["transparency"] names a transparent colour
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF orientation; those above 4 swap width and height


def opened(source: Path | IO[bytes], where: str) -> Image.Image:
    """The picture with its header read.

    Raises:
        BenchError: no picture, one that unpacks to an absurd size, or one of more than 8 bits a channel, which would be cut off silently.
    """
    try:
        encoded = io.BytesIO(_content(source, where)) if isinstance(source, Path) else source
        image = Image.open(encoded, formats=DECODERS)
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{image.width}×{image.height} pixels")
    except Image.DecompressionBombError as error:
        raise _bomb(where, str(error)) from error
    except UnidentifiedImageError as error:  # its own words name an object in memory
        raise undecodable(where, _beginning(encoded)) from error
    except BenchError:
        raise
    except Exception as error:  # damaged bytes make decoders raise anything
        raise undecodable(where, f"{type(error).__name__}: {error}") from error
    if image.mode not in GREY | COLOUR:
        raise undecodable(where, f"pixels of mode {image.mode}")
    if ";16" in str(image.tile):  # how the bytes are packed, such as "RGB;16B": PIL would drop the lower eight bits
        raise undecodable(where, "16 bits a channel")
    return image


def mode_of(image: Image.Image) -> str:
    """``"L"`` for a grey picture, ``"RGB"`` for a coloured one."""
    return "L" if image.mode in GREY else "RGB"


def common_mode(modes: Iterable[str]) -> str:
    """Of a whole set: ``"L"`` where every picture is grey, else ``"RGB"``, and the grey ones get three equal channels."""
    return "RGB" if any(mode == "RGB" for mode in modes) else "L"


def shape_of(image: Image.Image, mode: str) -> tuple[int, int, int]:
    """Channels, height and width of the upright picture in that mode."""
    sides = (image.width, image.height) if _orientation(image) > 4 else (image.height, image.width)
    return (1 if mode == "L" else 3, *sides)


def pixels(image: Image.Image, mode: str, where: str) -> np.ndarray:
    """The decoded pixels, uint8 h × w (mode ``"L"``) or h × w × 3 (``"RGB"``), upright and on white.

    Raises:
        BenchError: the picture is cut off or damaged.
    """
    try:
        image.load()
        turn = UPRIGHT.get(_orientation(image))
        if image.mode in TRANSPARENT or "transparency" in image.info:
            seen = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
        image = image if image.mode == mode else image.convert(mode)
        return np.asarray(image if turn is None else image.transpose(turn))
    except BenchError:
        raise
    except Exception as error:  # damaged bytes make decoders raise anything
        raise undecodable(where, f"{type(error).__name__}: {error}") from error


def alike(pictures: Iterable[tuple[np.ndarray, str]]) -> list[np.ndarray]:
    """The decoded pictures of a set, each given with where it lies.

    Raises:
        BenchError: one has another size than those before it, or all of them are too large once unpacked.
    """
    kept: list[np.ndarray] = []
    unpacked = 0  # bytes
    for picture, where in pictures:
        kept.append(picture)
        unpacked += picture.nbytes
        if unpacked > MAX_BYTES:
            raise too_large(where, unpacked)
        if picture.shape != kept[0].shape:
            raise BenchError(
                f"{where} has another size than the images before it",
                expected=_size(kept[0]),
                got=_size(picture),
                hint="resize the images to one size, or take that one out",
            )
    return kept


def too_large(where: str, unpacked: int) -> BenchError:
    """That a set of images takes more memory than a set may."""
    return BenchError(
        f"{where}: the images are too large once unpacked",
        expected=f"images of at most {MAX_BYTES / 2**30:.3g} GiB together",
        got=f"{unpacked / 2**30:.3g} GiB or more",
        hint="keep fewer images: targets here are trained on thousands at most",
    )


def channels_first(stack: np.ndarray) -> np.ndarray:
    """n × h × w or n × h × w × c to n × c × h × w."""
    return stack[:, None] if stack.ndim == 3 else np.ascontiguousarray(stack.transpose(0, 3, 1, 2))


def undecodable(where: str, got: str, hint: str = "replace or convert it") -> BenchError:
    """That there is no picture where one was expected."""
    return BenchError(f"{where} cannot be decoded", expected="a whole PNG, JPEG, BMP or WebP picture, 8 bits a channel", got=got, hint=hint)


def _orientation(image: Image.Image) -> int:
    """1 to 8 as EXIF counts, 1 for upright, which is also what a picture without a readable entry is."""
    with contextlib.suppress(Exception):  # damaged EXIF makes its parser raise anything; the pixels are whole
        return int(image.getexif().get(0x0112, 1))
    return 1


def _content(path: Path, where: str) -> bytes:
    with regular.opened(path) as file:
        content = file.read(MAX_ENCODED + 1)
    if len(content) > MAX_ENCODED:
        raise _bomb(where, f"a file of more than {MAX_ENCODED // 2**20} MiB")
    return content


def _bomb(where: str, got: str) -> BenchError:
    return BenchError(
        f"{where} is too large a picture",
        expected=f"an image of a training set, {MAX_PIXELS} pixels at most",
        got=got,
        hint="resize or remove it",
    )


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}×{picture.shape[0]}"


def _beginning(encoded: IO[bytes]) -> str:
    encoded.seek(0)
    head = encoded.read(16)
    return f"no picture, but bytes that begin with {head!r}" if head else "0 bytes"
