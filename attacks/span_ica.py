"""Training images are the independent components of the span that training has moved the first layer in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.claims import span
from attacks.span import images
from bench.api import Architecture, Attack, Candidates, Claim, Objective
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class SpanICA(Attack):
    """FastICA on differences of neighbouring pixels, in the leading right singular vectors of W₁ and the mean image.

    No equation of the training is solved: any depth, loss, optimiser and number of outputs will do, if the first layer is dense. It finds
    images whose directions stand out of the noise that the initial weights leave in W₁, so above all after a small start or weight decay.
    """

    name: ClassVar[str] = "span_ica"
    paper: ClassVar[str] = "own; ICA on weights as Kariyappa et al. (Cocktail Party Attack, ICML 2023) use it on gradients"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    goes_by: ClassVar[Objective] = Objective("stability", "higher")
    version: ClassVar[int | None] = 1
    claims: ClassVar[tuple[Claim, ...]] = span.ON_SPAN

    steps: int = 150

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs a fully connected first layer, this network is a {architecture.model}"

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        return images(release.weights["layers.0.weight"], release.mean_image, release.n_train, self.steps, generator)
