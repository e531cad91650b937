"""What of ``work`` is needed where an attack of the track ``reconstruction`` runs: neither targets nor scores."""

from __future__ import annotations

from bench.tracks.reconstruction.answer import check_answer, pack, rounded
from bench.tracks.reconstruction.narrow import fingerprint

__all__ = ["check_answer", "fingerprint", "pack", "rounded"]
