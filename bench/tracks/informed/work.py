"""What the engine calls of the track ``informed``: the attacker knows every training image but one, and answers with that one."""

from __future__ import annotations

from bench.tracks.informed.answer import check_answer, pool
from bench.tracks.informed.example import example
from bench.tracks.informed.narrow import fingerprint, narrow
from bench.tracks.informed.score import score
from bench.tracks.informed.targets import obtain, secret_of
from bench.tracks.reconstruction.answer import alike, pack, rounded, unpack

__all__ = [
    "alike", "check_answer", "example", "fingerprint", "narrow", "obtain", "pack", "pool", "rounded", "score", "secret_of", "unpack",
]  # fmt: skip
