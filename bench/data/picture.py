"""One encoded picture: opened, judged grey or coloured, decoded to 8 bits a channel; with errors that name where it lies."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from bench.errors import BenchError

GREY = frozenset({"1", "L", "LA"})
MAX_PIXELS = 4096 * 4096  # of one picture; what unpacks to more is no image of a training set
COLOUR = frozenset({"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX", "RGBa"})


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
    except (OSError, ValueError, SyntaxError) as error:
        raise _undecodable(where, f"{type(error).__name__}: {error}") from error
    if image.mode not in GREY | COLOUR:
        raise _undecodable(where, f"pixels of mode {image.mode}")
    return image


def mode_of(image: Image.Image) -> str:
    """``"L"`` for a grey picture, ``"RGB"`` for a coloured one."""
    return "L" if image.mode in GREY else "RGB"


def pixels(image: Image.Image, mode: str, where: str) -> np.ndarray:
    """The decoded pixels, uint8 h × w (mode ``"L"``) or h × w × 3 (``"RGB"``)."""
    try:
        return np.asarray(image if image.mode == mode else image.convert(mode))
    except (OSError, ValueError, SyntaxError) as error:
        raise _undecodable(where, f"{type(error).__name__}: {error}") from error


def channels_first(stack: np.ndarray) -> np.ndarray:
    """n × h × w or n × h × w × c to n × c × h × w."""
    return stack[:, None] if stack.ndim == 3 else np.ascontiguousarray(stack.transpose(0, 3, 1, 2))


def _undecodable(where: str, got: str) -> BenchError:
    return BenchError(
        f"{where} cannot be decoded",
        expected="a whole PNG, JPEG, BMP or WebP picture, 8 bits a channel",
        got=got,
        hint="replace or convert it",
    )
