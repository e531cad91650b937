"""Control of the informed track: no reconstruction, the pool image whose shadow network is nearest to the released one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.reconstructor import study
from attacks.reconstructor.kernel import squared_distances
from bench.api import Architecture, Attack, Candidates
from bench.registry import register
from bench.tracks.informed import Release


@register
@dataclass(frozen=True)
class NearestShadow(Attack):
    """Answers with the shadow image whose network's weights are nearest: what looking up, without learning, is worth."""

    name: ClassVar[str] = "nearest_shadow"
    paper: ClassVar[str] = "none: a control"
    track: ClassVar[str] = "informed"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "initial_weights", "known_data", "shadow_data"})
    version: ClassVar[int | None] = 1

    shadows: int = 3000
    mirror: bool = False

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs fully connected layers, this network is a {architecture.model}"

    def memory(self, release: Release) -> int:
        return 5 * 4 * self.shadows * sum(w[0].numel() for w in release.weights.values())

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        of = study(release, self.shadows, self.mirror)
        nearest = squared_distances(of.attacked, of.shadows).min(1)
        return Candidates(of.images[nearest.indices], loss=float(nearest.values.mean()))
