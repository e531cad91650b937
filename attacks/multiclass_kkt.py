"""Buzaglo et al. 2023: the KKT attack on networks of many classes, by the margin to the best other class."""

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
class MulticlassKKT(KKTAttack):
    """KKT reconstruction from many-class homogeneous networks: gᵢ = Φ_y(xᵢ) − max over j ≠ y of Φ_j(xᵢ), all classes alike."""

    name: ClassVar[str] = "multiclass_kkt"
    paper: ClassVar[str] = "Buzaglo, Haim, Yehudai, Vardi, Oz, Nikankin, Irani: Deconstructing Data Reconstruction. NeurIPS 2023"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    version: ClassVar[int | None] = 1
    claims: ClassVar[tuple[Claim, ...]] = buzaglo2023.ON_MULTICLASS
    kind: ClassVar[Kind] = "multiclass"
    ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {**KKTAttack.ranges, "lr_lambda": (1e-5, 1.0, "log")}

    def unsupported(self, architecture: Architecture) -> str:
        if architecture.outputs < 2:
            return "needs one output a class (loss ce), this network has a single output; try haim_kkt or regression_kkt"
        if architecture.loss != "ce":
            return f"needs the cross-entropy loss (ce), this network was trained with {architecture.loss}"
        if not architecture.homogeneous:
            return (
                f"needs a homogeneous network (relu or leaky_relu, bias in the first layer at most), this one has activation "
                f"{architecture.activation} and bias {architecture.bias}"
            )
        return ""
