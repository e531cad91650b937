"""Gaussian noise on the released weights: destroys the KKT stationarity that reconstruction attacks solve for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Defense
from bench.registry import register


@register
@dataclass(frozen=True)
class WeightNoise(Defense):
    """Adds to each weight tensor noise of `relative_std` times that tensor's own standard deviation."""

    name: ClassVar[str] = "weight_noise"
    version: ClassVar[int | None] = 1
    against: ClassVar[tuple[str, ...]] = ("span_public", "span_public_change", "denoised_kkt")

    relative_std: float = 0.1  # ≥ 0

    def __post_init__(self) -> None:
        if not self.relative_std >= 0:
            raise ValueError(f"relative_std is a number from 0 on, not {self.relative_std!r}")

    def after_training(self, weights: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        noisy = {}
        for name, w in weights.items():
            noise = torch.randn(w.shape, generator=generator, dtype=torch.float64).to(w)
            noisy[name] = w + noise * (self.relative_std * w.std(correction=0))
        return noisy
