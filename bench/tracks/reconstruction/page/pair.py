"""A member beside what came back of it, as strips and galleries draw it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.kit.figures import INK, Tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes


EDGE = 0.03  # white around a picture
SHOWN = ["recon_png", "truth_png", "ssim"]  # columns of an image row


def pair(axis: Axes, image: Mapping[Hashable, Any], left: float, top: float, below: float, scale: float) -> list[Tile]:
    """Writes the SSIM under a reconstruction and the true image below it, bold for a hit, and returns the two, to be pasted.

    Args:
        image: SHOWN of an image row.
        below: of the number, from the top; a picture takes a square of side 1.
        scale: inches of such a side.
    """
    ssim = image["ssim"]
    hit = not pd.isna(ssim) and ssim > 0.4
    axis.text(
        left + 0.5, top + below, "none" if pd.isna(ssim) else f"{ssim:.2f}", ha="center", va="center", fontsize=7.5,
        color=INK if hit else "#888888", fontweight="bold" if hit else "normal",
    )  # fmt: skip
    return [
        (image[name], (left + EDGE) * scale, (y + EDGE) * scale, (1 - 2 * EDGE) * scale)
        for name, y in zip(SHOWN, (top, top + 1.02), strict=False)
    ]
