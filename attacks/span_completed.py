"""Training images from rounded or pruned weights: the matrix of low rank that they were is found within what rounding leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.span import images
from attacks.span.bounded import completed
from bench.api import Architecture, Attack, Candidates, Objective
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class SpanCompleted(Attack):
    """As `span_ica`, after the errors of quantisation and pruning are averaged out over the units: see `attacks.span.bounded`.

    Adapts to `rounding`, `quantization` and `pruning`; the steps and the pruned weights it reads off the weights themselves. Where
    there are none it is `span_ica`. Chosen on photo_tiles with seed 100: the rounds, of 5 and 20.
    """

    name: ClassVar[str] = "span_completed"
    paper: ClassVar[str] = "own; alternating projections, as for matrices of which entries are missing (Candès, Recht 2009)"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    goes_by: ClassVar[Objective] = Objective("stability", "higher")
    version: ClassVar[int | None] = 1

    rounds: int = 5  # of projections
    steps: int = 150

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs a fully connected first layer, this network is a {architecture.model}"

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        n = release.n_train
        rows = completed(release.weights["layers.0.weight"], n, self.rounds)
        return images(rows, release.mean_image, n, self.steps, generator)
