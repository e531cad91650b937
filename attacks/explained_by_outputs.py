"""Training images from a network's outputs alone: their finite differences are the gradients that give the span away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.span import images
from attacks.span.asked import by_differences, questions
from bench.api import Architecture, Attack, Candidates, Objective
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class ExplainedByOutputs(Attack):
    """As `explained`, where the network tells its outputs alone: a gradient is then one answer a pixel value, and one more.

    Differences lose what a gradient keeps: the outputs are rounded to float32, and over a step some units switch. Class labels alone give
    no gradient, so where the network tells nothing else there is no such attack. The step is the first one tried.
    """

    name: ClassVar[str] = "explained_by_outputs"
    paper: ClassVar[str] = "own; finite differences of outputs, as extraction attacks use them (Jagielski et al., USENIX Security 2020)"
    needs: ClassVar[frozenset[str]] = frozenset({"queries", "public_images"})
    goes_by: ClassVar[Objective] = Objective("stability", "higher")
    version: ClassVar[int | None] = 1

    questions: int = 40  # images, at each of which a whole gradient is measured
    noise: float = 0.1  # standard deviation of what is added to a public image, in pixel values
    step: float = 0.03  # of a pixel value
    steps: int = 150

    def __post_init__(self) -> None:
        if self.questions < 2 or self.noise < 0 or self.step <= 0:
            raise ValueError(f"questions is at least 2, noise at least 0, step above 0; not {self.questions}, {self.noise} and {self.step}")

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs a fully connected first layer, this network is a {architecture.model}"

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        rows = by_differences(release, questions(release, self.questions, self.noise, generator), self.step, generator)
        return images(rows, release.public_images.mean(0), release.n_train, self.steps, generator)
