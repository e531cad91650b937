"""A small release of the track ``membership``, for contract tests."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import Architecture, Secret
from bench.tracks.membership.candidates import beside
from bench.tracks.membership.release import Release
from bench.tracks.reconstruction import example as reconstruction


def example(architecture: Architecture, number: int) -> tuple[Release, Tensor]:
    """An untrained network's release with its candidates, and the images that no attack may be handed.

    Members are handed to every attack here, among controls. So these are the public images, which the targets have and the track does not
    grant: with them an attacker could train networks to compare.
    """
    network, members = reconstruction.example(architecture, number)
    controls, public = network.public_images[: len(members)], network.public_images[len(members) :]
    labels = torch.arange(len(members)) % max(2, architecture.outputs)
    return beside(network, Secret(members, labels, controls, labels)), public
