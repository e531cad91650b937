"""A small release of the track ``stealing``, for contract tests."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from bench.api import Architecture, Release
from bench.tracks.reconstruction import example as reconstruction
from bench.tracks.stealing.oracle import NETWORKS, Asked


def example(architecture: Architecture, number: int) -> tuple[Release, Tensor]:
    """An untrained owner behind its oracle, public images with labels, and images that stand for planted ones."""
    release, members = reconstruction.example(architecture, number)
    public = release.public_images
    assert public is not None
    assert release.mean_image is not None
    stolen = dataclasses.replace(
        release,
        other_images=public.flip(-1).clone(),
        shadow_images=public.clone(),
        shadow_labels=torch.arange(len(public)) % max(2, architecture.outputs),
        oracle=Asked(architecture, release.weights, release.mean_image),
        networks=NETWORKS,
        mean_image=None,
        initial_weights=None,
    )
    return stolen, members
