"""Differentially private gradient descent: no image moves the weights by more than so much, and noise hides by how much it did."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Defense, Private, Training
from bench.registry import register


@register
@dataclass(frozen=True)
class DpSgd(Defense):
    """Shortens the gradient of each image to `clip`, and adds noise of `noise` · `clip` to their sum at every step.

    Full-batch descent takes all images in a step or, with a `rate` below 1, each by that chance; adam takes each by the chance of
    batch_size of n. The row tells ε at δ = 1/n² (with Opacus: extra `dp`), and what no attack can do better than. Of T steps on full
    batches ε follows from noise / √T alone: 100 epochs with noise 20 promise what 10 000 do with noise 200.

    Momentum, weight decay and adam cost no privacy. The number of images and their mean, which the network subtracts, are not protected.
    A stop at a training loss would tell of the images too, so stop_loss has to be 0.
    """

    name: ClassVar[str] = "dp_sgd"
    paper: ClassVar[str] = "Abadi et al.: Deep Learning with Differential Privacy. CCS 2016"
    version: ClassVar[int | None] = 1
    against: ClassVar[tuple[str, ...]] = ("span_public", "span_public_change", "denoised_kkt")

    clip: float | None = 1.0  # L2 norm over all weights, above 0; null: none is shortened, and noise has to be 0
    noise: float = 1.0  # the noise multiplier, 0 or more
    rate: float = 1.0  # chance of each image to be in a step of full-batch descent, above 0 and at most 1

    def __post_init__(self) -> None:
        if self.clip is not None and not 0 < self.clip < math.inf:
            raise ValueError(f"clip is a finite number above 0, or null, not {self.clip!r}")
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"noise is a finite number from 0 on, not {self.noise!r}")
        if self.noise and self.clip is None:
            raise ValueError(f"noise is a multiple of clip, so without one it is 0, not {self.noise!r}")
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate is a number above 0 and at most 1, not {self.rate!r}")

    def training(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> Training:
        return Training(private=Private(math.inf if self.clip is None else self.clip, self.noise, self.rate))
