"""Training images from outputs along the directions that images are made of: an eighth of the answers, past any mask on gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.span import images
from attacks.span.asked import along, questions
from attacks.span.natural import FINE, principal
from bench.api import Architecture, Attack, Candidates, Objective
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class ExplainedByDirections(Attack):
    """As `explained_by_outputs`, with differences along the leading principal directions of public images in place of all pixels.

    Masks on explanations do not concern it: adapts to `gradient_masking`. Where fewer answers are given than it would ask for, it asks
    about fewer images, two at least, and along fewer directions.
    """

    name: ClassVar[str] = "explained_by_directions"
    paper: ClassVar[str] = "own; finite differences in a subspace as Ilyas, Engstrom, Madry (ICLR 2019) estimate gradients with a prior"
    needs: ClassVar[frozenset[str]] = frozenset({"queries", "public_images"})
    goes_by: ClassVar[Objective] = Objective("stability", "higher")
    version: ClassVar[int | None] = 1

    questions: int = 40  # images, at each of which a gradient is measured
    noise: float = 0.1  # standard deviation of what is added to a public image, in pixel values
    step: float = 0.01  # length of a step, in pixel values; of 0.01, 0.03, 0.1, 0.3 and 1 on photo_tiles, seeds 100 and 101
    steps: int = 150

    def __post_init__(self) -> None:
        if self.questions < 2 or self.noise < 0 or self.step <= 0:
            raise ValueError(f"questions is at least 2, noise at least 0, step above 0; not {self.questions}, {self.noise} and {self.step}")

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs a fully connected first layer, this network is a {architecture.model}"

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        basis = principal(release.public_images, FINE)
        count = min(self.questions, max(2, release.oracle.limit // (len(basis) + 1)))
        basis = basis[: max(1, release.oracle.limit // count - 1)]
        rows = along(release, questions(release, count, self.noise, generator), basis, self.step, generator)
        return images(rows, release.public_images.mean(0), release.n_train, self.steps, generator)
