"""Theft by gradients: beside its logits, the thief sees how they change with the image, and fits both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from attacks.claims import venigalla2019
from attacks.theft.lesson import Lesson, directions_of
from attacks.theft.thief import Theft
from bench.api import Claim
from bench.registry import register
from bench.tracks.stealing import Release


@register
@dataclass(frozen=True)
class StealGradients(Theft):
    """Fits a copy to logits and to input gradients, of random sums of the logits, the top one, or all (Czarnecki et al. NIPS 2017).

    With `smooth` the gradients are means over so many perturbed copies of each image, each copy one more answer a direction (SmoothGrad,
    Smilkov et al. 2017): what a network says of a neighbourhood rather than of the point.
    """

    name: ClassVar[str] = "steal_gradients"
    paper: ClassVar[str] = "Venigalla: Strongly-transferring memorized examples in deep neural networks. MIT 2019"
    track: ClassVar[str] = "stealing"
    needs: ClassVar[frozenset[str]] = frozenset({"public_images", "queries", "input_gradients"})
    version: ClassVar[int | None] = 2
    claims: ClassVar[tuple[Claim, ...]] = venigalla2019.ON_GRADIENTS

    jacobian: Literal["random", "top", "full"] = "random"  # sums of logits with normal weights, the greatest logit, or each logit
    probes: int = 1  # random sums an image, each one more answer of the oracle
    weight: float = 1.0  # of the gradients' error beside the logits', both relative
    smooth: int = 0  # perturbed copies of an image whose gradients are averaged; 0: the gradient at the image itself
    smooth_noise: float = 0.1  # standard deviation of their Gaussian perturbation, in pixel values

    def __post_init__(self) -> None:
        Theft.__post_init__(self)
        if self.jacobian not in ("random", "top", "full") or self.probes < 1:
            raise ValueError(f"jacobian is random, top or full, and probes at least 1; not {self.jacobian!r} and {self.probes}")
        if self.smooth < 0 or self.smooth_noise <= 0:
            raise ValueError(f"smooth is at least 0, and smooth_noise above 0; not {self.smooth} and {self.smooth_noise}")

    def ask(self, release: Release, generator: torch.Generator) -> Lesson:
        images = self.questions(release, generator)
        logits = release.oracle.logits(images)
        directions = directions_of(logits, self.jacobian, self.probes, generator)
        return Lesson(images, logits=logits, directions=directions, gradients=self._gradients(release, images, directions, generator))

    def _gradients(self, release: Release, images: Tensor, directions: Tensor, generator: torch.Generator) -> Tensor:
        if not self.smooth:
            return release.oracle.gradients(images, directions)
        low, high = release.input_range
        total = images.new_zeros(*directions.shape[:2], *images.shape[1:])
        for _ in range(self.smooth):
            near = images + self.smooth_noise * torch.randn(images.shape, generator=generator).to(images)
            total += release.oracle.gradients(near.clamp(low, high), directions)
        return total / self.smooth
