"""Which classes a network gives, and how often two answers agree."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.targets.losses import predicted
from bench.targets.models import forward
from bench.tracks.stealing.release import Network


@torch.no_grad()
def classes(network: Network, images: Tensor) -> Tensor:
    """The class that a network gives to each image in [0, 1]."""
    like = network.mean_image
    return predicted(forward(network.architecture, network.weights, images.to(like) - like)).cpu()


def agreement(a: Tensor, b: Tensor) -> float:
    return float((a == b).double().mean())
