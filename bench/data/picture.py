"""One encoded picture: opened, judged grey or coloured, decoded to 8 bits a channel; with errors that name where it lies.

It is read as it is seen: turned upright as its EXIF orientation says, and what is transparent lies on white.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from bench.errors import BenchError

GREY = frozenset({"1", "L", "LA"})
MAX_PIXELS = 4096 * 4096  # of one picture; what unpacks to more is no image of a training set
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
        image = Image.open(source)
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{image.width}×{image.height} pixels")
    except Image.DecompressionBombError as error:
        raise BenchError(
            f"{where} is too large a picture",
            expected=f"an image of a training set, {MAX_PIXELS} pixels at most",
            got=str(error),
            hint="resize or remove it",
        ) from error
    except UnidentifiedImageError as error:  # its own words name an object in memory
        raise undecodable(where, _beginning(source)) from error
    except (OSError, ValueError, SyntaxError) as error:
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
    except (OSError, ValueError, SyntaxError) as error:
        raise undecodable(where, f"{type(error).__name__}: {error}") from error


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


def _beginning(source: Path | IO[bytes]) -> str:
    try:
        if isinstance(source, Path):
            with open(source, "rb") as file:
                head = file.read(16)
        else:
            source.seek(0)
            head = source.read(16)
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return f"no picture, but bytes that begin with {head!r}" if head else "0 bytes"
