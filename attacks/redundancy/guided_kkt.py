"""A KKT attack that listens to some hidden units only: the residual of the others is left out, or weighs less. Ours.

Which of the KKT attacks is the base follows from the architecture, so that the unguided attack to compare with is always on the board:
`haim_kkt` where it applies, `multiclass_kkt` for many classes under cross-entropy, and else `regression_kkt`, whose signed multipliers need
no homogeneity; that is what smooth activations get.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.kkt.engine import KKTAttack
from attacks.kkt.mask import Mask
from attacks.kkt.objective import Kind
from attacks.redundancy.units import most_informative
from bench.api import Architecture, Candidates
from bench.tracks.reconstruction import Release


@dataclass(frozen=True)
class GuidedKKT(KKTAttack):
    """A subclass says how informative each hidden unit is; the share ``keep`` of each hidden layer that is most so is listened to."""

    kind: ClassVar[Kind] = "binary"  # set anew for each run, from its architecture

    keep: float = 0.5  # share of each hidden layer's units that are listened to, in (0, 1]; 1: the base attack
    weighting: str = "mask"  # mask: the others not at all | soft: the others by their informativeness over that of the last one kept

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep is a share in (0, 1], not {self.keep}")
        if self.weighting not in ("mask", "soft"):
            raise ValueError(f"weighting is mask or soft, not {self.weighting!r}")

    @abstractmethod
    def unit_values(self, release: Release, generator: torch.Generator) -> Sequence[Tensor]:
        """How informative each unit is, ≥ 0: for each hidden layer Float[Tensor, "u"]."""

    def unsupported(self, architecture: Architecture) -> str:
        if architecture.model != "mlp":
            return f"needs fully connected layers, this network is a {architecture.model}"
        if kind_for(architecture) == "regression" and architecture.outputs != 1:
            return (
                f"needs one output unless the network is homogeneous and trained with ce; this one has {architecture.outputs} outputs, "
                f"activation {architecture.activation}, bias {architecture.bias} and loss {architecture.loss}"
            )
        return ""

    def informative(self, release: Release, generator: torch.Generator) -> Mask | None:
        if self.keep == 1:
            return None
        values = self.unit_values(release, generator)
        kept = most_informative(values, self.keep)
        weights = [_soft(v, k) if self.weighting == "soft" else k.to(v.dtype) for v, k in zip(values, kept, strict=True)]
        last = len(weights)
        return {layer: (weights[layer] if layer < last else None, weights[layer - 1] if layer > 0 else None) for layer in range(last + 1)}

    @classmethod
    def reconstruct_batch(
        cls, attacks: Sequence[KKTAttack], releases: Sequence[Release], generators: Sequence[torch.Generator]
    ) -> list[Candidates]:
        runs = [_of_kind(cls, kind_for(r.architecture))(**asdict(a)) for a, r in zip(attacks, releases, strict=True)]
        return super().reconstruct_batch(runs, releases, generators)


@functools.cache
def _of_kind(cls: type[GuidedKKT], kind: Kind) -> type[GuidedKKT]:
    """The attack with the equations of one kind."""
    return type(f"{cls.__name__}_{kind}", (cls,), {"kind": kind, "__module__": cls.__module__})


def kind_for(architecture: Architecture) -> Kind:
    """Which of the KKT equations a network calls for."""
    if architecture.homogeneous and architecture.loss == "bce" and architecture.outputs == 1:
        return "binary"
    if architecture.homogeneous and architecture.loss == "ce" and architecture.outputs > 1:
        return "multiclass"
    return "regression"


def _soft(values: Tensor, kept: Tensor) -> Tensor:
    """1 for what is kept, and for the rest its value over that of the least one kept."""
    least = values[kept].min().clamp(min=torch.finfo(values.dtype).tiny)
    return (values / least).clamp(max=1.0)
