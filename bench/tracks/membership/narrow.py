"""What the attack gets: the granted tiers in fresh copies, and the candidates."""

from __future__ import annotations

from bench import tracks
from bench.targets.fresh import copies, copy
from bench.tracks.membership.release import Release
from bench.tracks.reconstruction.narrow import of_tiers, public, pure


def narrow(release: Release, needs: frozenset[str]) -> Release:
    """A release with the granted tiers only, made of fresh copies. The candidates are always there.

    Raises:
        BenchError: what `reconstruction.narrow` raises, of the tiers of this track.
    """
    tracks.admit("membership", needs)
    return Release(
        weights=copies(release.weights),
        forward=pure(release.forward),
        images=copy(release.images),
        labels=copy(release.labels),
        **public(release),
        **of_tiers(Release, release, needs),
    )
