"""What the thief gets: images and an oracle, no weights."""

from __future__ import annotations

import dataclasses

from bench import tracks
from bench.api import Release
from bench.tracks.reconstruction.narrow import copy
from bench.tracks.stealing.oracle import NETWORKS, ORACLE, Asked


def narrow(release: Release, needs: frozenset[str]) -> Release:
    """A release without weights: public images and those of another data set, labels of the former as ``shadow_data``, and an oracle that
    answers what the tiers name.

    Raises:
        BenchError: a tier that is unknown or that the track cannot grant.
    """
    tracks.admit("stealing", needs)
    assert release.public_images is not None
    assert isinstance(release.oracle, Asked), "a target of this track"
    labelled = "shadow_data" in needs and release.shadow_images is not None and release.shadow_labels is not None
    return Release(
        architecture=dataclasses.replace(release.architecture),
        weights={},
        forward=release.forward,
        n_train=release.n_train,
        input_range=tuple(release.input_range),  # type: ignore[arg-type]
        public_images=copy(release.public_images) if "public_images" in needs else None,
        other_images=copy(release.other_images) if "public_images" in needs and release.other_images is not None else None,
        shadow_images=copy(release.shadow_images) if labelled and release.shadow_images is not None else None,
        shadow_labels=copy(release.shadow_labels) if labelled and release.shadow_labels is not None else None,
        oracle=release.oracle.granting(needs) if needs & ORACLE else None,
        networks=NETWORKS,
    )
