"""What the thief gets: images and an oracle, no weights."""

from __future__ import annotations

from typing import Any

from bench import tracks
from bench.targets.oracle import Asked
from bench.tracks.reconstruction.narrow import of_tiers, public
from bench.tracks.stealing.networks import NETWORKS
from bench.tracks.stealing.release import Release


def narrow(release: Release, needs: frozenset[str]) -> Release:
    """A release without weights: public images and those of another data set, labels of the former as ``shadow_data``, and an oracle that
    answers what the tiers name.

    Raises:
        BenchError: a tier that is unknown, that the track cannot grant, or that this release lacks.
    """
    tracks.admit("stealing", needs)
    passed: dict[str, Any] = of_tiers(Release, release, needs)
    if isinstance(oracle := passed.get("oracle"), Asked):
        passed["oracle"] = oracle.granting(needs)
    return Release(networks=NETWORKS, **public(release), **passed)
