"""A member beside what came back of it, as strips and galleries draw it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.kit.figures import INK, tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def pair(axis: Axes, image: Mapping[Hashable, Any], left: float, top: float, below: float) -> None:
    """The reconstruction, the true image under it, and their SSIM: bold for a hit.

    Args:
        image: an image row.
        below: of the number, from the top; a tile has side 1.
    """
    tile(axis, image["recon_png"], left, top)
    tile(axis, image["truth_png"], left, top + 1.02)
    ssim = image["ssim"]
    hit = not pd.isna(ssim) and ssim > 0.4
    axis.text(
        left + 0.5, top + below, "none" if pd.isna(ssim) else f"{ssim:.2f}", ha="center", va="center", fontsize=7.5,
        color=INK if hit else "#888888", fontweight="bold" if hit else "normal",
    )  # fmt: skip
