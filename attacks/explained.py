"""Training images from what a network answers when it is asked why: gradients of its outputs by the image give the span away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.span import images
from attacks.span.asked import by_gradients, questions
from bench.api import Architecture, Attack, Candidates, Objective
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class Explained(Attack):
    """As `span_ica`, with no weights: the gradient by the image at any question is a weighted sum of the rows of W₁.

    A few of them span what the rows do. It asks at noisy public images for the gradient of a random sum of the outputs, one answer a
    question; the mean of the public images stands in for the mean image. Chosen on photo_tiles and CIFAR-10 with seeds 100 to 104: the
    noise (of 0, 0.1, 0.3), and gradients as they are (against unit norms, differences of near gradients, and questions along lines).
    """

    name: ClassVar[str] = "explained"
    paper: ClassVar[str] = "own; gradients by the input span the first layer, as extraction attacks use (Milli et al., FAT* 2019)"
    needs: ClassVar[frozenset[str]] = frozenset({"input_gradients", "public_images"})
    goes_by: ClassVar[Objective] = Objective("stability", "higher")
    version: ClassVar[int | None] = 1

    questions: int = 100  # gradients, one answer of the oracle each
    noise: float = 0.1  # standard deviation of what is added to a public image, in pixel values
    steps: int = 150

    def __post_init__(self) -> None:
        if self.questions < 2 or self.noise < 0:
            raise ValueError(f"questions is at least 2, and noise at least 0; not {self.questions} and {self.noise}")

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs a fully connected first layer, this network is a {architecture.model}"

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        count = min(self.questions, release.oracle.limit)
        rows = by_gradients(release, questions(release, count, self.noise, generator), generator)
        return images(rows, release.public_images.mean(0), release.n_train, self.steps, generator)
