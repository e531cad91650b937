"""What of ``work`` is needed where an attack of the track ``membership`` runs: neither targets nor scores."""

from __future__ import annotations

from bench.tracks.membership.answer import check_answer, pack, rounded
from bench.tracks.reconstruction.narrow import fingerprint

__all__ = ["check_answer", "fingerprint", "pack", "rounded"]
