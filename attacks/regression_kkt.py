"""Buzaglo et al. 2023: with weight decay any loss leaves θ = Σ λᵢ ∇Φ(xᵢ), with signed multipliers and no need of homogeneity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from attacks.claims import buzaglo2023
from attacks.kkt.engine import KKTAttack
from attacks.kkt.objective import Kind
from bench.api import Architecture, Claim
from bench.registry import register


@register
@dataclass(frozen=True)
class RegressionKKT(KKTAttack):
    """KKT reconstruction with signed multipliers, for any loss and activation with weight decay; one output."""

    name: ClassVar[str] = "regression_kkt"
    paper: ClassVar[str] = "Buzaglo, Haim, Yehudai, Vardi, Oz, Nikankin, Irani: Deconstructing Data Reconstruction. NeurIPS 2023"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    version: ClassVar[int | None] = 1
    claims: ClassVar[tuple[Claim, ...]] = buzaglo2023.ON_REGRESSION
    kind: ClassVar[Kind] = "regression"
    # its multipliers are signed: there is no least one
    ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        **{name: bounds for name, bounds in KKTAttack.ranges.items() if name != "min_lambda"},
        "lr_lambda": (1e-5, 1.0, "log"),
    }

    def unsupported(self, architecture: Architecture) -> str:
        if architecture.outputs != 1:
            return f"needs one output, this network has {architecture.outputs}; try multiclass_kkt"
        return ""
