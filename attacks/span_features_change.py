"""The same of what training has changed in the first dense layer over features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.kkt.change import decay_left
from attacks.span import seen
from attacks.span.below import reader
from bench.api import Architecture, Attack, Candidates, Objective
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class SpanFeaturesChange(Attack):
    """As `span_features`, on W(T) − ρ W(0), free of the noise of the start; ρ, what weight decay leaves of it, is read off both."""

    name: ClassVar[str] = "span_features_change"
    paper: ClassVar[str] = "own; feature inversion as Mahendran and Vedaldi (CVPR 2015)"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "initial_weights"})
    goes_by: ClassVar[Objective] = Objective("cosine with the features sought", "higher")
    budget: ClassVar[str] = "steps"
    version: ClassVar[int | None] = 1

    steps: int = 200  # of the inversion

    def unsupported(self, architecture: Architecture) -> str:
        return "its first layer is dense over the pixels, where span_ica_change needs no inversion" if architecture.model == "mlp" else ""

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        shape = release.architecture.input_shape
        below = reader(release.forward, release.weights, shape)
        end, start = below.rows.double(), reader(release.forward, release.initial_weights, shape).rows.double()
        moved = end - decay_left(end, start, release.n_train + 1) * start
        return seen.images(below, moved, release.mean_image, release.input_range, release.n_train, self.steps, generator)
