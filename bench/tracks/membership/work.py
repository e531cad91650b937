"""What the engine calls of the track ``membership``: an attack gets the network and candidates, and answers with a score for each."""

from __future__ import annotations

from bench.tracks.membership.answer import alike, check_answer, pack, pool, rounded, unpack
from bench.tracks.membership.candidates import obtain
from bench.tracks.membership.example import example
from bench.tracks.membership.narrow import narrow, transplant
from bench.tracks.membership.score import score
from bench.tracks.reconstruction.narrow import fingerprint
from bench.tracks.reconstruction.targets import secret_of

__all__ = [
    "alike", "check_answer", "example", "fingerprint", "narrow", "obtain", "pack", "pool", "rounded", "score", "secret_of", "transplant",
    "unpack",
]  # fmt: skip
