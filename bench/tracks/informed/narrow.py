"""What the attack gets: the granted tiers in fresh copies; the recipe with the known data and the initial weights."""

from __future__ import annotations

import dataclasses
import hashlib

import torch
from torch import Tensor

from bench import tracks
from bench.api import Release
from bench.tracks.reconstruction import narrow as reconstruction
from bench.tracks.reconstruction.narrow import copy, weights_for


def narrow(release: Release, needs: frozenset[str]) -> Release:
    """A release with the granted tiers only, made of fresh copies. The recipe comes with the known data and the initial weights.

    Raises:
        BenchError: what `reconstruction.narrow` raises, of the tiers of this track.
    """
    tracks.admit("informed", needs)

    def granted(tier: str, value: Tensor | None) -> Tensor | None:
        return copy(value) if tier in needs and value is not None else None

    return dataclasses.replace(
        weights_for(release, needs & {"final_weights", "mean_image", "initial_weights"}),
        known_images=granted("known_data", release.known_images),
        known_labels=granted("known_data", release.known_labels),
        shadow_images=granted("shadow_data", release.shadow_images),
        shadow_labels=granted("shadow_data", release.shadow_labels),
        train=release.train if {"known_data", "initial_weights"} <= needs else None,
        keep=release.keep,
    )


def fingerprint(release: Release) -> str:
    """Hash of every tensor in a release, those of the recipe among them, 16 hex digits."""
    known = getattr(release.train, "known", None)
    beside = [] if known is None else [known.images, known.labels, *known.start.values()]
    digest = hashlib.sha256(reconstruction.fingerprint(release).encode())
    for tensor in beside:
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
