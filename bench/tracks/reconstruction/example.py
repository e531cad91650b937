"""A small release of the track ``reconstruction``, for contract tests."""

from __future__ import annotations

import torch
from torch import Tensor

from bench import seeds
from bench.api import Architecture
from bench.targets.models import bound_forward, initial_weights
from bench.targets.oracle import Asked
from bench.tracks.reconstruction.release import Release

N = 4  # training images


def example(architecture: Architecture, number: int) -> tuple[Release, Tensor]:
    """An untrained network's release with every tier, and the images that stand for its training set."""
    generator = seeds.generator("check", "target", number)
    weights = {name: w.float() for name, w in initial_weights(architecture, None, generator).items()}
    members = torch.rand(N, *architecture.input_shape, generator=generator)
    release = Release(
        architecture=architecture,
        weights=weights,
        forward=bound_forward(architecture),
        n_train=N,
        mean_image=members.mean(0),
        initial_weights={name: w.clone() for name, w in weights.items()},
        public_images=torch.rand(10 * N, *architecture.input_shape, generator=generator),
        oracle=Asked(architecture, weights, members.mean(0)),
    )
    return release, members
