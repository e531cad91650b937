"""Training images are the independent components of what training has changed in the first layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.claims import span
from attacks.kkt.change import decay_left
from attacks.span import images
from bench.api import Architecture, Attack, Candidates, Claim, Objective
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class SpanICAChange(Attack):
    """As `span_ica`, on W₁(T) − ρ W₁(0), which is free of the noise of the start; ρ, what weight decay leaves of it, is read off both.

    A network fine-tuned from a public checkpoint, or of a known random seed, is in this position. What is chosen is that of `span_ica`. A
    first reading of ρ had a bias, which was mended after the published seeds had been run once; they were run again, and nothing chosen.
    """

    name: ClassVar[str] = "span_ica_change"
    paper: ClassVar[str] = "own; the span of the change is that of Loo et al. (ICLR 2024) and Tansley et al. (2026)"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "initial_weights"})
    goes_by: ClassVar[Objective] = Objective("stability", "higher")
    version: ClassVar[int | None] = 1
    claims: ClassVar[tuple[Claim, ...]] = span.ON_CHANGE

    steps: int = 150

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs a fully connected first layer, this network is a {architecture.model}"

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        end, start = release.weights["layers.0.weight"].double(), release.initial_weights["layers.0.weight"].double()
        moved = end - decay_left(end, start, release.n_train + 1) * start
        return images(moved, release.mean_image, release.n_train, self.steps, generator)
