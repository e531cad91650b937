"""Control: the first layer's weight rows, looked at as images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Architecture, Attack
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class FirstLayerWeights(Attack):
    """Submits the 2n rows of the first layer with the largest norm, each scaled from its minimum and maximum to [0, 1]."""

    name: ClassVar[str] = "first_layer_weights"
    paper: ClassVar[str] = "none: a control"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights"})
    version: ClassVar[int | None] = 1

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs a fully connected first layer, this network is a {architecture.model}"

    def reconstruct(self, release: Release, generator: torch.Generator) -> Tensor:
        rows = release.weights["layers.0.weight"]
        rows = rows[rows.norm(dim=1).argsort(descending=True)[: 2 * release.n_train]]
        low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
        scaled = (rows - low) / (high - low).clamp(min=torch.finfo(rows.dtype).tiny)
        return scaled.reshape(-1, *release.architecture.input_shape)
