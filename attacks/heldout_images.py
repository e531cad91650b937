"""Control: real images of the same distribution, which the network never saw."""

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
class HeldoutImages(Attack):
    """Submits real images that are neither members nor controls: how often a plain photograph passes for a reconstruction."""

    name: ClassVar[str] = "heldout_images"
    paper: ClassVar[str] = "none: a control"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "public_images"})
    version: ClassVar[int | None] = 1

    per_member: int = 10  # images submitted for each member, at most as many as there are

    def reconstruct(self, release: Release, generator: torch.Generator) -> Tensor:
        order = torch.randperm(len(release.public_images), generator=generator)
        return release.public_images[order[: self.per_member * release.n_train].to(release.device)]
