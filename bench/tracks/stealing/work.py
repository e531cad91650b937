"""What the engine calls of the track ``stealing``: a thief copies a network that it can only ask; does the watermark come along?"""

from __future__ import annotations

from bench.tracks.reconstruction.narrow import fingerprint
from bench.tracks.stealing.answer import alike, check_answer, pack, pool, rounded, unpack
from bench.tracks.stealing.example import example
from bench.tracks.stealing.narrow import narrow
from bench.tracks.stealing.score import score
from bench.tracks.stealing.targets import obtain, secret_of

__all__ = [
    "alike", "check_answer", "example", "fingerprint", "narrow", "obtain", "pack", "pool", "rounded", "score", "secret_of", "unpack",
]  # fmt: skip
