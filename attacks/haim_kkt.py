"""Haim et al. 2022: the training images of a two-class network are where its weights become a KKT point of the margin problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attacks.claims import haim2022
from attacks.kkt.engine import KKTAttack
from attacks.kkt.objective import Kind
from bench.api import Architecture, Claim
from bench.registry import register


@register
@dataclass(frozen=True)
class HaimKKT(KKTAttack):
    """KKT reconstruction from two-class homogeneous networks: θ ≈ Σ λᵢ yᵢ ∇Φ(xᵢ), λ ≥ 0, half the candidates of each class."""

    name: ClassVar[str] = "haim_kkt"
    paper: ClassVar[str] = "Haim, Vardi, Yehudai, Shamir, Irani: Reconstructing Training Data from Trained Neural Networks. NeurIPS 2022"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    version: ClassVar[int | None] = 1
    claims: ClassVar[tuple[Claim, ...]] = haim2022.CLAIMS
    kind: ClassVar[Kind] = "binary"

    def unsupported(self, architecture: Architecture) -> str:
        if architecture.outputs != 1:
            return f"needs one output (a two-class task with loss bce), this network has {architecture.outputs}; try multiclass_kkt"
        if architecture.loss != "bce":
            return f"needs the logistic loss (bce), this network was trained with {architecture.loss}; try regression_kkt"
        if not architecture.homogeneous:
            return (
                f"needs a homogeneous network (relu or leaky_relu, bias in the first layer at most), this one has activation "
                f"{architecture.activation} and bias {architecture.bias}; try regression_kkt"
            )
        return ""
