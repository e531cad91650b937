"""Training images from a span under noise, which public images tell from the images: an attacker who knows that noise was added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.span import images
from attacks.span.natural import Natural
from bench.api import Architecture, Attack, Candidates, Objective
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class SpanPublic(Attack):
    """As `span_ica`, of the first layer as it is in the directions that public images are made of, where less of the noise is.

    Adapts to `weight_noise` and `span_noise`, and to `secret_start`, where the start is the noise. Chosen on photo_tiles with seeds 100 and
    101: how many directions tell the noise, and how many images are made of.
    """

    name: ClassVar[str] = "span_public"
    paper: ClassVar[str] = "own; the edge of the noise is that of Gavish and Donoho (IEEE Trans. Inf. Theory 2014)"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "public_images"})
    goes_by: ClassVar[Objective] = Objective("stability", "higher")
    version: ClassVar[int | None] = 1

    steps: int = 150

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs a fully connected first layer, this network is a {architecture.model}"

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        span = Natural.of(release.weights["layers.0.weight"], release.public_images)
        return images(span, release.mean_image, release.n_train, self.steps, generator)
