"""As `span_public`, on what training has changed in the first layer: for noise on weights whose start is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.kkt.change import decay_left
from attacks.span import images
from attacks.span.natural import Natural
from bench.api import Architecture, Attack, Candidates, Objective
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class SpanPublicChange(Attack):
    """`span_public` of W₁(T) − ρ W₁(0), as `span_ica_change` takes it. Adapts to `weight_noise` and `span_noise`."""

    name: ClassVar[str] = "span_public_change"
    paper: ClassVar[str] = "own"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "initial_weights", "public_images"})
    goes_by: ClassVar[Objective] = Objective("stability", "higher")
    version: ClassVar[int | None] = 1

    steps: int = 150

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs a fully connected first layer, this network is a {architecture.model}"

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        end, start = release.weights["layers.0.weight"].double(), release.initial_weights["layers.0.weight"].double()
        span = Natural.of(end - decay_left(end, start, release.n_train + 1) * start, release.public_images)
        return images(span, release.mean_image, release.n_train, self.steps, generator)
