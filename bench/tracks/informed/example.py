"""A small release of the track ``informed``, for contract tests."""

from __future__ import annotations

import torch
from torch import Tensor

from bench import seeds
from bench.api import Architecture, Setting
from bench.targets import one_missing
from bench.targets.models import bound_forward, initial_weights
from bench.tracks.informed.recipe import Keeper, Recipe
from bench.tracks.informed.release import Release

N = 4  # known images
NETWORKS = 3


def example(architecture: Architecture, number: int) -> tuple[Release, Tensor]:
    """Networks trained for three epochs on the same images and one more each, and these last ones."""

    generator = seeds.generator("check", "informed", number)
    setting = Setting.model_validate(
        {
            "hidden": architecture.hidden,
            "activation": architecture.activation,
            "bias": architecture.bias,
            "loss": architecture.loss,
            "classes": "binary" if architecture.outputs == 1 else architecture.outputs,
            "lr": 0.1,
            "epochs": 3,
        }
    )
    known_images, shadows, members = (torch.rand(n, *architecture.input_shape, generator=generator) for n in (N, 10 * N, NETWORKS))
    labels = torch.arange(10 * N) % max(2, architecture.outputs)
    start = initial_weights(architecture, None, generator)
    known = one_missing.Known(architecture, setting, known_images, labels[:N], start, setting.epochs)
    recipe = Recipe(known, torch.device("cpu"), None, "check")
    release = Release(
        architecture=architecture,
        weights=recipe(members, labels[:NETWORKS]),
        forward=bound_forward(architecture),
        n_train=N + 1,
        mean_image=known.mean,
        initial_weights={name: w.float() for name, w in start.items()},
        known_images=known_images.clone(),
        known_labels=labels[:N].clone(),
        shadow_images=shadows,
        shadow_labels=labels,
        train=recipe,
        keep=Keeper(None, "check", torch.device("cpu")),
    )
    return release, members
