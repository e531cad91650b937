"""Training images are those whose features are the independent components of the span of the first dense layer over features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.span import seen
from attacks.span.below import reader
from bench.api import Architecture, Attack, Candidates, Objective
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class SpanFeatures(Attack):
    """`span_ica` for convolutional networks: in place of images it finds features, and of each of them an image that has it.

    What was chosen is said in `attacks.span.seen`. Training moves the layers below too, so the span holds the features that the images had
    on the way, and the deeper the network the less are they those of its end.
    """

    name: ClassVar[str] = "span_features"
    paper: ClassVar[str] = "own; feature inversion as Mahendran and Vedaldi (CVPR 2015)"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    goes_by: ClassVar[Objective] = Objective("cosine with the features sought", "higher")
    budget: ClassVar[str] = "steps"
    version: ClassVar[int | None] = 1

    steps: int = 200  # of the inversion

    def unsupported(self, architecture: Architecture) -> str:
        return "its first layer is dense over the pixels, where span_ica needs no inversion" if architecture.model == "mlp" else ""

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        below = reader(release.forward, release.weights, release.architecture.input_shape)
        return seen.images(below, below.rows, release.mean_image, release.input_range, release.n_train, self.steps, generator)
