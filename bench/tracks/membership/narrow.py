"""What the attack gets: the granted tiers in fresh copies, and the candidates."""

from __future__ import annotations

import dataclasses

from bench import tracks
from bench.targets.fresh import copies, copy
from bench.tracks.membership.release import Release
from bench.tracks.reconstruction.narrow import of_tiers, public, pure


def transplant(release: Release, other: Release) -> Release:
    """The release with another network in it: the weights are those of ``other``, of the same architecture; candidates, their labels and
    the mean image stay."""
    return dataclasses.replace(release, weights=other.weights, forward=other.forward)


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
