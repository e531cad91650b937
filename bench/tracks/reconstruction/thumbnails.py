"""Which members the rows show, as small PNGs of truth and reconstruction."""

from __future__ import annotations

import io
import math

import torch
from jaxtyping import Float
from torch import Tensor

from bench.api import Row

SHOWN = 2  # members with thumbnails: so many of the best, of the median, and of the worst


def add_thumbnails(
    rows: list[Row], members: Float[Tensor, "n c h w"], submitted: Float[Tensor, "m c h w"], gallery: int | None = None
) -> None:
    """PNGs for the strips: the best, the median and the worst members, misses last; a miss has no reconstruction to show.

    Args:
        gallery: how many of the best are kept for a gallery of them; None: none beyond the strip's.
    """
    # The table keeps four decimals, and the report ranks by them: near-ties have to fall the same way here.
    members_rows = (r for r in rows if r["split"] == "member")
    ranked = sorted(members_rows, key=lambda r: (math.inf if r["ssim"] is None else -round(r["ssim"], 4), r["index"]))
    n = len(ranked)
    middle = n // 2 - SHOWN // 2
    shown = set(range(n)) if n <= 3 * SHOWN else {*range(SHOWN), *range(middle, middle + SHOWN), *range(n - SHOWN, n)}
    shown |= set(range(min(gallery or 0, n)))
    for row in (ranked[i] for i in sorted(shown)):
        row["truth_png"] = png(members[row["index"]])
        if row["candidate"] >= 0:
            row["recon_png"] = png(submitted[row["candidate"]])


def png(image: Float[Tensor, "c h w"]) -> bytes:
    """An image in [0, 1] as an 8-bit PNG: colour if it has three channels, else the grey mean of them."""
    from PIL import Image

    values = image.detach().cpu().float().clamp(0, 1)
    values = values if values.shape[0] == 3 else values.mean(0, keepdim=True)
    pixels = (values * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
