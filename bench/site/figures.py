"""The pictures of a results folder as small WebP files: what is shown where scripts are off, and what no plot replaces."""

from __future__ import annotations

import io
from pathlib import Path

WIDEST = 640  # pixels
QUALITY = 22


def small(path: Path) -> bytes | None:
    """A picture, no wider than the pages are; None: it is none."""
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            shown = image.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None
    if shown.width > WIDEST:
        shown = shown.resize((WIDEST, max(1, round(shown.height * WIDEST / shown.width))), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()
