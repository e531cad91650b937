"""Control of the track membership: the mean image tells of its members, without the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Attack
from bench.registry import register
from bench.tracks.membership import Release


@register
@dataclass(frozen=True)
class MeanDistance(Attack):
    """Minus the distance to the mean of the training images, which each of them has pulled a little to itself."""

    name: ClassVar[str] = "mean_distance"
    paper: ClassVar[str] = "none: a control"
    track: ClassVar[str] = "membership"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    version: ClassVar[int | None] = 1

    def reconstruct(self, release: Release, generator: torch.Generator) -> Tensor:
        return -(release.images - release.mean_image).flatten(1).norm(dim=1)
