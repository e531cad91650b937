"""What of ``work`` is needed where an attack of the track ``informed`` runs: neither targets nor scores."""

from __future__ import annotations

from bench.tracks.informed.answer import check_answer
from bench.tracks.informed.narrow import fingerprint
from bench.tracks.reconstruction.answer import pack, rounded

__all__ = ["check_answer", "fingerprint", "pack", "rounded"]
