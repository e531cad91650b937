"""Loo et al. 2024: what training has added to the weights is a weighted sum of the gradients at the training images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from attacks.claims import loo2024
from attacks.kkt import signed
from attacks.kkt.change import change
from attacks.kkt.engine import KKTAttack
from attacks.kkt.objective import Kind
from bench.api import Architecture, Claim, Objective
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class NtkKKT(KKTAttack):
    """θ(T) − ρ θ(0) ≈ (1/m) Σ α_ik ∇Φ_k(xᵢ), at the final weights, with signed multipliers, one for each output; any network and loss.

    As in the paper: m = 2n, Adam, a smoothed slope that sharpens. Own: candidates are sought in the n leading directions of the first
    layer's change, where the training images lie whatever the initial weights were, and ρ, what weight decay has left of the initial
    weights, is read off the weights. A cnn is searched in pixels.

    The defaults were chosen on seeds 100 to 102: CIFAR-10 from default initialisation (squared loss, no decay, one layer of 1000), and the
    networks of grid ``quick`` on CIFAR-10, photo_tiles, lfw_faces and MNIST. Sharpening from 20 to 300 did better than a sharpness of 20,
    50 or 150 throughout, and multipliers from 0.3 better than from 1 or 3. Learning rates of 0.02, 0.05 and 0.1 gave the same there; 0.05
    gave most on seed 100 of other networks (gelu, tanh, ten classes, two layers of 200, 100 images).
    """

    name: ClassVar[str] = "ntk_kkt"
    paper: ClassVar[str] = "Loo et al.: Understanding Reconstruction Attacks with the Neural Tangent Kernel and Dataset Distillation. ICLR"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "initial_weights", "mean_image"})
    version: ClassVar[int | None] = 1
    kkt: ClassVar[bool] = False  # it asks that training stayed near its start, not that it came to an end
    claims: ClassVar[tuple[Claim, ...]] = loo2024.CLAIMS
    kind: ClassVar[Kind] = "regression"
    ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        "sigma": (0.01, 0.3, "log"),
        "sigma_lambda": (0.1, 3.0, "log"),
        "lr": (0.01, 0.1, "log"),
        "lr_lambda": (0.01, 0.1, "log"),
        "alpha_end": (100.0, 1000.0, "log"),
    }
    goes_by: ClassVar[Objective] = Objective("share of the weights' change left unexplained", "lower")

    steps: int = 3000
    sigma: float = 0.08  # std of the initial candidates' pixels, centred
    sigma_lambda: float = 0.3  # std of the initial multipliers
    lr: float = 0.05
    lr_lambda: float = 0.05
    alpha: float = 20.0
    alpha_end: float | None = 300.0
    optimizer: str = "adam"
    subspace: str | int = "images"

    def sought(self, release: Release) -> Mapping[str, Tensor]:
        """See KKTAttack: the change of the weights."""
        return change(release.weights, release.initial_weights, release.n_train)

    def start(
        self, m: int, r: int, architecture: Architecture, generator: torch.Generator
    ) -> tuple[Float[Tensor, "m r"], Float[Tensor, " _"]]:
        """See KKTAttack: a multiplier for each output, and the same contrast in whatever dimensions."""
        return signed.start(m, r, architecture, generator, self.sigma, self.sigma_lambda)

    def memory(self, release: Release) -> int:
        """What the search takes, and beside it the change, and the first layers in double precision while it is made."""
        sizes = [w.numel() for w in release.weights.values()]
        return super().memory(release) + 8 * sum(sizes) + 32 * max(sizes)
