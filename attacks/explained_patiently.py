"""Training images from explanations that are masked: so many questions that what the mask does to each of them averages out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.span import images
from attacks.span.asked import by_gradients, questions
from attacks.span.natural import Natural
from bench.api import Architecture, Attack, Candidates, Objective
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class ExplainedPatiently(Attack):
    """As `explained`, which asks as many questions as it is answered, up to `questions`.

    What a mask adds differs from question to question, what it leaves lies in the span; so the span is ranked above the edge of the noise
    in what public images are made of (`attacks.span.natural`). Adapts to `gradient_masking`. Chosen on photo_tiles with seeds 100 and 101.
    """

    name: ClassVar[str] = "explained_patiently"
    paper: ClassVar[str] = "own; expectation over a mask's draws as Athalye, Carlini, Wagner (ICML 2018) take it"
    needs: ClassVar[frozenset[str]] = frozenset({"input_gradients", "public_images"})
    goes_by: ClassVar[Objective] = Objective("stability", "higher")
    version: ClassVar[int | None] = 1

    questions: int = 3000  # gradients at most, one answer of the oracle each; as many as its limit where that is less
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
        return images(Natural.of(rows, release.public_images), release.public_images.mean(0), release.n_train, self.steps, generator)
