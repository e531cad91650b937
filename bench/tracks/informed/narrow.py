"""What the attack gets: the granted tiers in fresh copies; the recipe with the known data and the initial weights."""

from __future__ import annotations

import hashlib

import torch

from bench import tracks
from bench.targets.fresh import copies
from bench.tracks.informed.release import Release
from bench.tracks.reconstruction import narrow as reconstruction
from bench.tracks.reconstruction.narrow import of_tiers, public, pure


def narrow(release: Release, needs: frozenset[str]) -> Release:
    """A release with the granted tiers only, made of fresh copies. The recipe comes with the known data and the initial weights.

    Raises:
        BenchError: what `reconstruction.narrow` raises, of the tiers of this track.
    """
    tracks.admit("informed", needs)
    return Release(
        weights=copies(release.weights),
        forward=pure(release.forward),
        keep=release.keep,
        **public(release),
        **of_tiers(Release, release, needs),
    )


def fingerprint(release: Release) -> str:
    """Hash of every tensor in a release, those of the recipe among them, 16 hex digits."""
    known = getattr(getattr(release, "train", None), "known", None)
    beside = [] if known is None else [known.images, known.labels, *known.start.values()]
    digest = hashlib.sha256(reconstruction.fingerprint(release).encode())
    for tensor in beside:
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
