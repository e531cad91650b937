"""A small release of the track ``stealing``, for contract tests."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import Architecture
from bench.targets.oracle import Asked
from bench.tracks.reconstruction import example as reconstruction
from bench.tracks.stealing.networks import NETWORKS
from bench.tracks.stealing.release import Release


def example(architecture: Architecture, number: int) -> tuple[Release, Tensor]:
    """An untrained owner behind its oracle, public images with labels, and images that stand for planted ones."""
    owner, members = reconstruction.example(architecture, number)
    public = owner.public_images
    release = Release(
        architecture=architecture,
        n_train=owner.n_train,
        public_images=public,
        other_images=public.flip(-1).clone(),
        shadow_images=public.clone(),
        shadow_labels=torch.arange(len(public)) % max(2, architecture.outputs),
        oracle=Asked(architecture, owner.weights, owner.mean_image),
        networks=NETWORKS,
    )
    return release, members
