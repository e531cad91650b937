"""Noise around the few directions that the network lives by, made against attacks on the span of the first layer.

Training leaves all training images in the span of what it added to the first layer, the leading directions and those of a thousandth of
their size alike. A class hangs on the few leading ones; the single images hang on all of them: independent components are told apart in as
many directions as there are images, or not at all. So the owner keeps the few, and fills every other direction with noise, of which the
largest is some share of the least that is kept. The noise hides how many were kept, and what is left of the others is nothing: whoever
takes the noise away again has the few directions, and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Defense
from bench.registry import register

FIRST = "layers.0.weight"
ROUNDS = 2  # of finding what weight decay has left of the start by what was added, and the other way round


@register
@dataclass(frozen=True)
class SpanNoise(Defense):
    """Of what training added to the first layer the `keep` leading right singular directions stay, and Gaussian noise fills the others.

    Other layers and all biases stay. A first layer of fewer directions than `keep` stays as it is, but for noise; convolutions have none.
    """

    name: ClassVar[str] = "span_noise"
    paper: ClassVar[str] = "own"
    version: ClassVar[int | None] = 1
    against: ClassVar[tuple[str, ...]] = ("span_public", "span_public_change", "denoised_kkt")

    keep: int = 4  # directions, at least 1
    noise: float = 0.3  # ≥ 0; the largest singular value of the noise, as a share of the least that is kept

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ValueError(f"keep is a whole number from 1 on, not {self.keep!r}")
        if not self.noise >= 0:
            raise ValueError(f"noise is a number from 0 on, not {self.noise!r}")

    def after_training(self, weights: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        """Where the start is not known, all of the first layer counts as added."""
        return self.released(weights, {}, generator)

    def released(self, weights: Mapping[str, Tensor], start: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        if FIRST not in weights or weights[FIRST].ndim != 2:
            return dict(weights)
        first = weights[FIRST].double()
        before = start[FIRST].to(first) if FIRST in start else torch.zeros_like(first)
        kept = first.new_zeros(0, first.shape[1])
        for _ in range(ROUNDS):
            outside = before - before @ kept.mT @ kept
            decayed = (first * outside).sum() / outside.square().sum().clamp(min=1e-300)
            left, values, right = torch.linalg.svd(first - decayed * before, full_matrices=False)
            keep = min(self.keep, len(values))
            kept = right[:keep]
        noise = torch.randn(first.shape, generator=generator, dtype=torch.float64).to(first)
        noise = noise - noise @ kept.mT @ kept
        largest = torch.linalg.matrix_norm(noise, 2).clamp(min=1e-300)
        added = (left[:, :keep] * values[:keep]) @ kept + noise * (self.noise * values[keep - 1] / largest)
        return {**weights, FIRST: (decayed * before + added).to(weights[FIRST])}
