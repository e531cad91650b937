"""The alternative to our training: full-batch gradient descent on pixels in float64, autograd and torch.optim.SGD."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.api import Architecture, Setting
from bench.targets.models import forward


class PixelGD:
    """One network in training, stepped by hand: binary cross-entropy on one output, weight decay in the optimiser."""

    def __init__(self, architecture: Architecture, setting: Setting, inputs: Tensor, labels: Tensor, start: Mapping[str, Tensor]) -> None:
        self.architecture = architecture
        self.x, self.target = inputs.double(), labels.double()
        self.weights = {name: w.detach().double().clone().requires_grad_() for name, w in start.items()}
        self.optimiser = torch.optim.SGD(self.weights.values(), lr=setting.lr, weight_decay=setting.weight_decay)

    def epoch(self) -> None:
        """One step on all images."""
        self.optimiser.zero_grad()
        out = forward(self.architecture, self.weights, self.x).squeeze(-1)
        torch.nn.functional.binary_cross_entropy_with_logits(out, self.target).backward()
        self.optimiser.step()
