"""What the engine calls of the track ``reconstruction``: an attack gets a narrowed release and answers with images; these are scored."""

from __future__ import annotations

from bench.tracks.reconstruction.answer import alike, check_answer, pack, pool, rounded, unpack
from bench.tracks.reconstruction.example import example
from bench.tracks.reconstruction.narrow import fingerprint, narrow, transplant
from bench.tracks.reconstruction.score import score
from bench.tracks.reconstruction.secret import levelled
from bench.tracks.reconstruction.targets import obtain, secret_of

__all__ = [
    "alike", "check_answer", "example", "fingerprint", "levelled", "narrow", "obtain", "pack", "pool", "rounded", "score", "secret_of",
    "transplant", "unpack",
]  # fmt: skip
