"""Pictures of what came back: a contact sheet, and strips of pairs, reconstruction above truth; for members and controls alike."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

SIDE = 64  # pixels that an image is enlarged to, at least, by whole factors
GAP = 4
WHITE, GREY, GREEN = (255, 255, 255), (225, 225, 225), (30, 140, 60)
MOST = 100  # images on a contact sheet
MOST_SIDE = 128  # pixels of an image by itself


def sheet(images: Float[Tensor, "m c h w"], columns: int = 10) -> bytes:
    """PNG of the first hundred images, row by row."""
    tiles = [_tile(image) for image in images[:MOST]]
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    return _png(_grid(rows, columns))


def one(image: Float[Tensor, "c h w"]) -> bytes:
    """PNG of one image, made smaller where it is larger than a page shows it."""
    factor = max(1, -(-max(image.shape[1:]) // MOST_SIDE))
    values = image.detach().cpu().float().clamp(0, 1)
    return _png(_pixels(torch.nn.functional.avg_pool2d(values, factor) if factor > 1 else values))


def pairs(
    rows: Sequence[Mapping[str, Any]], truth: Float[Tensor, "n c h w"], candidates: Float[Tensor, "m c h w"], columns: int = 12
) -> tuple[bytes, list[Mapping[str, Any]]]:
    """PNG of the best, median and worst of one side, four each, reconstruction above truth, hits framed in green; and their image rows.

    Args:
        rows: image rows of that side; ``index`` into truth, ``candidate`` into candidates (−1: none, shown grey), ``ssim``.
    """
    ranked = sorted(rows, key=lambda row: -1.0 if row["ssim"] is None else row["ssim"], reverse=True)
    if len(ranked) > columns:
        third = columns // 3
        middle = len(ranked) // 2 - third // 2
        ranked = [*ranked[:third], *ranked[middle : middle + third], *ranked[-third:]]
    above, below = [], []
    for row in ranked:
        hit = row["ssim"] is not None and row["ssim"] > 0.4
        missing = row["candidate"] < 0
        above.append(_tile(None if missing else candidates[row["candidate"]], GREEN if hit else WHITE, like=truth[0]))
        below.append(_tile(truth[row["index"]]))
    return _png(_grid([above, below], len(ranked))), ranked


def _tile(image: Tensor | None, frame: tuple[int, int, int] = WHITE, like: Tensor | None = None) -> np.ndarray:
    """An image enlarged, in a frame: h × w × 3, 0 to 255."""
    shape = (image if image is not None else like).shape  # type: ignore[union-attr]
    factor = max(1, -(-SIDE // max(shape[1:])))
    grey = np.full((shape[1], shape[2], 3), GREY, dtype=np.uint8)
    pixels = grey if image is None else _pixels(image.detach().cpu().float().clamp(0, 1))
    pixels = pixels.repeat(factor, 0).repeat(factor, 1)
    framed = np.full((pixels.shape[0] + GAP, pixels.shape[1] + GAP, 3), frame, dtype=np.uint8)
    framed[GAP // 2 : -GAP // 2, GAP // 2 : -GAP // 2] = pixels
    return framed


def _pixels(values: Tensor) -> np.ndarray:
    """h × w × 3, 0 to 255, of an image in [0, 1] of any channels."""
    values = values if values.shape[0] == 3 else values.mean(0, keepdim=True).expand(3, -1, -1)
    return (values * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def _grid(rows: Sequence[Sequence[np.ndarray]], columns: int) -> np.ndarray:
    height, width = rows[0][0].shape[:2]
    canvas = np.full((len(rows) * height, columns * width, 3), WHITE, dtype=np.uint8)
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            canvas[i * height : (i + 1) * height, j * width : (j + 1) * width] = tile
    return canvas


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
