"""Buzaglo et al. 2023 for any network: θ ≈ Σ_ik λ_ik ∇Φ_k(xᵢ), a signed multiplier for each output, whatever its layers and biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from attacks.kkt import signed
from attacks.kkt.engine import KKTAttack
from attacks.kkt.objective import Kind
from bench.api import Architecture
from bench.registry import register


@register
@dataclass(frozen=True)
class SignedKKT(KKTAttack):
    """`regression_kkt` for networks of several outputs: with weight decay any loss leaves the weights a signed sum of the gradients of all
    outputs at the training images. Of two logits the multipliers are free to be opposite, as cross-entropy has them: they count as their
    difference.

    The search is that of `ntk_kkt`, Adam with a slope that sharpens, which was chosen there: plain gradient descent with the papers' rates
    diverges on networks of many layers.
    """

    name: ClassVar[str] = "signed_kkt"
    paper: ClassVar[str] = "Buzaglo, Haim, Yehudai, Vardi, Oz, Nikankin, Irani: Deconstructing Data Reconstruction. NeurIPS 2023"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    version: ClassVar[int | None] = 1
    kind: ClassVar[Kind] = "regression"
    ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        "sigma": (0.01, 0.3, "log"),
        "sigma_lambda": (0.1, 3.0, "log"),
        "lr": (0.01, 0.1, "log"),
        "lr_lambda": (0.01, 0.1, "log"),
        "alpha_end": (100.0, 1000.0, "log"),
    }

    sigma: float = 0.08  # std of the initial candidates' pixels, centred
    sigma_lambda: float = 0.3  # std of the initial multipliers
    lr: float = 0.05
    lr_lambda: float = 0.05
    alpha: float = 20.0
    alpha_end: float | None = 300.0
    optimizer: str = "adam"

    def unsupported(self, architecture: Architecture) -> str:
        return "has one output, where regression_kkt is the same attack" if architecture.outputs == 1 else ""

    def start(
        self, m: int, r: int, architecture: Architecture, generator: torch.Generator
    ) -> tuple[Float[Tensor, "m r"], Float[Tensor, " _"]]:
        """See KKTAttack: a multiplier for each output, and the same contrast in whatever dimensions."""
        return signed.start(m, r, architecture, generator, self.sigma, self.sigma_lambda)
