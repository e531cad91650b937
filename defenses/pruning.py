"""Pruned weights: the small ones are set to zero, as one does to make a network smaller."""

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
class Pruning(Defense):
    """Sets the share of each weight matrix that is smallest in magnitude to zero; of a layer of N weights exactly round(N · share).

    Biases stay. Among equal magnitudes those that stand first go first.
    """

    name: ClassVar[str] = "pruning"
    paper: ClassVar[str] = "Han, Pool, Tran, Dally: Learning both weights and connections for efficient neural networks. NeurIPS 2015"
    version: ClassVar[int | None] = 1
    against: ClassVar[tuple[str, ...]] = ("span_completed",)

    share: float = 0.5  # from 0 on, below 1

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(f"share is a number from 0 on and below 1, not {self.share!r}")

    def after_training(self, weights: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        return {name: w.clone() if w.ndim < 2 else self._pruned(w) for name, w in weights.items()}

    def _pruned(self, w: Tensor) -> Tensor:
        flat = w.flatten().clone()
        flat[flat.abs().argsort(stable=True)[: round(len(flat) * self.share)]] = 0
        return flat.view_as(w)
