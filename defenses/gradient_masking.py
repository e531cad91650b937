"""Masked explanations: an interface that tells less of its gradients, or answers fewer questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Defense
from bench.registry import register


@register
@dataclass(frozen=True)
class GradientMasking(Defense):
    """Each gradient of an output by the image is told with noise, of its largest pixels only, rounded; in this order, as far as asked for.

    The weights stay behind the interface, and are as they were. So are classes and outputs, which a patient attacker takes differences of.
    """

    name: ClassVar[str] = "gradient_masking"
    paper: ClassVar[str] = "own; masks as Athalye, Carlini, Wagner (ICML 2018) break them"
    version: ClassVar[int | None] = 1
    against: ClassVar[tuple[str, ...]] = ("explained_patiently", "explained_by_directions", "explained_by_outputs")

    withholds: ClassVar[frozenset[str]] = frozenset({"final_weights", "initial_weights", "mean_image"})

    noise: float = 0.0  # ≥ 0; standard deviation, as a multiple of that of the gradient's pixels
    top: float = 1.0  # share of pixels that are told, the largest in magnitude; the others are 0
    bits: int = 0  # of which each pixel is told, 2 to 16, the gradient's largest magnitude the outermost level; 0: all
    budget: int = 0  # answers that an attacker gets, of any kind; 0: as many as any

    def __post_init__(self) -> None:
        if not self.noise >= 0:
            raise ValueError(f"noise is a number from 0 on, not {self.noise!r}")
        if not 0 < self.top <= 1:
            raise ValueError(f"top is a number above 0 and at most 1, not {self.top!r}")
        if self.bits and not 2 <= self.bits <= 16:
            raise ValueError(f"bits is a whole number from 2 to 16, or 0, not {self.bits!r}")
        if self.budget < 0:
            raise ValueError(f"budget is a whole number from 0 on, not {self.budget!r}")

    def explained(self, gradients: Tensor, generator: torch.Generator) -> Tensor:
        told = gradients.flatten(2)
        if self.noise:
            noise = torch.randn(told.shape, generator=generator, dtype=torch.float64).to(told)
            told = told + self.noise * told.std(2, correction=0, keepdim=True) * noise
        if self.top < 1:
            kept = max(1, round(self.top * told.shape[2]))
            places = told.abs().topk(kept, dim=2).indices
            told = torch.zeros_like(told).scatter(2, places, told.gather(2, places))
        if self.bits:
            levels = 2 ** (self.bits - 1) - 1
            step = told.abs().amax(2, keepdim=True).clamp(min=torch.finfo(told.dtype).tiny * levels) / levels
            told = (told / step).round() * step
        return told.view_as(gradients)

    def answers(self) -> int | None:
        return self.budget or None
