"""What of ``work`` is needed where an attack of the track ``stealing`` runs: neither targets nor scores."""

from __future__ import annotations

from bench.tracks.reconstruction.narrow import fingerprint
from bench.tracks.stealing.answer import check_answer, pack, rounded

__all__ = ["check_answer", "fingerprint", "pack", "rounded"]
