"""Control of the track membership: random scores."""

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
class RandomScores(Attack):
    """A random number for each candidate: what chance gives with so many images."""

    name: ClassVar[str] = "random_scores"
    paper: ClassVar[str] = "none: a control"
    track: ClassVar[str] = "membership"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights"})
    version: ClassVar[int | None] = 1

    def reconstruct(self, release: Release, generator: torch.Generator) -> Tensor:
        return torch.rand(len(release.images), generator=generator).to(release.device)
