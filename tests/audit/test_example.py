"""The README's picture can be drawn again, and is small."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from bench.audit.example import example, picture

PICTURE = Path(__file__).resolve().parents[2] / "results" / "figures" / "audit.png"


def test_the_picture_is_drawn_and_the_one_that_lies_here_is_small(monkeypatch):
    monkeypatch.setattr("bench.audit.audit.CONTROLS", ("mean_image",))
    found = example(images=8, epochs=5)
    assert Image.open(io.BytesIO(picture(found))).size[0] > 300
    assert PICTURE.stat().st_size < 200_000
