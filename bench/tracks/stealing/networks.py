"""Networks of the thief's own."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import Architecture
from bench.targets.models import forward, initial_weights
from bench.tracks.stealing.release import Networks


def _start(net: Architecture, generator: torch.Generator) -> dict[str, Tensor]:
    return initial_weights(net, None, generator)


NETWORKS = Networks(_start, forward)
