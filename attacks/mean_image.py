"""Control: the mean of the training images, which every KKT attack is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Attack
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class MeanImage(Attack):
    """Submits 2n copies of the mean image: what an attack scores by returning what it was handed."""

    name: ClassVar[str] = "mean_image"
    paper: ClassVar[str] = "none: a control"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    version: ClassVar[int | None] = 1

    def reconstruct(self, release: Release, generator: torch.Generator) -> Tensor:
        return release.mean_image.expand(2 * release.n_train, -1, -1, -1).clone()
