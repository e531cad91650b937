"""Networks of one shape in training whose gradient comes through autograd: what any architecture that `forward` knows shares."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.api import Architecture
from bench.targets.models import forward


class Parameters:
    """Weights of B networks that require gradients, in the precision of training; subclasses step them, in place.

    Args:
        start: initial weights by name, B × …, float64.
        x: centred inputs, B × n × c × h × w, float64.
        target: B × n × k, in the precision of training.
    """

    def __init__(self, architecture: Architecture, loss: str, start: Mapping[str, Tensor], x: Tensor, target: Tensor) -> None:
        self.architecture, self.loss, self.target = architecture, loss, target
        self.x = x.to(target.dtype)
        self.parameters = {name: w.to(target.dtype, copy=True).requires_grad_() for name, w in start.items()}

    replayable = True

    def draw(self) -> None:
        """Nothing: every step is over the same images."""

    def held_out_loss(self) -> list[float]:
        return []

    @torch.no_grad()
    def outputs(self) -> Tensor:
        return forward(self.architecture, self.parameters, self.x)

    def copy(self, i: int) -> list[Tensor | None]:
        return [w[i].detach().clone() for w in self.parameters.values()]

    def weights(self, i: int, copied: list[Tensor | None], epochs: int) -> dict[str, Tensor]:
        return {name: w for name, w in zip(self.parameters, copied, strict=True) if w is not None}
