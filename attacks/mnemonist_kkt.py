"""After Mnemonist: a KKT attack guided to the hidden units that seem to hold training images. The design is ours.

A unit that training has not used stays at its small start, or decays; in the stationarity equation it is noise at best. With no more than
the base attack's access, two signs of use remain:

* ``norm``: the norm of the unit's row (and bias) times that of its outgoing column. For a homogeneous network at a KKT point, both are sums
  over the training images that the unit fires for.
* ``inactive``: whether its activation varies over the images that a first, short run of the base attack finds. That run gets a start of
  its own, so that the second is no continuation of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from attacks.claims import mnemonist2023
from attacks.redundancy.evidence import Evidence
from attacks.redundancy.guided_kkt import GuidedKKT
from attacks.redundancy.inactive import inactive
from bench.api import Claim
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class MnemonistKKT(GuidedKKT):
    """KKT reconstruction with the residual restricted, or weighted, to informative hidden units."""

    name: ClassVar[str] = "mnemonist_kkt"
    paper: ClassVar[str] = "after Shahin Shamsabadi, Hayes, Balle, Weller: Mnemonist. UAI 2023 (the detectors and their use here are ours)"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    version: ClassVar[int | None] = 1
    claims: ClassVar[tuple[Claim, ...]] = mnemonist2023.ON_KKT

    detector: str = "norm"  # norm | inactive
    first_steps: int = 500  # steps of the first run, for inactive

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.detector not in ("norm", "inactive"):
            raise ValueError(f"detector is norm or inactive, not {self.detector!r}")

    def unit_values(self, release: Release, generator: torch.Generator) -> Sequence[Tensor]:
        return norms(release) if self.detector == "norm" else self._activity(release, generator)

    def _activity(self, release: Release, generator: torch.Generator) -> Sequence[Tensor]:
        steps = min(self.first_steps, self.steps)
        found = replace(self, keep=1.0, steps=steps).reconstruct(release, generator).images - release.mean_image
        evidence = Evidence(release.architecture, {name: w.unsqueeze(0) for name, w in release.weights.items()}, known=found)
        return inactive(evidence).units


def norms(release: Release) -> list[Tensor]:
    """Of each hidden unit the norm of what feeds it times the norm of what reads it, over the largest in its layer."""
    result = []
    for layer in range(len(release.architecture.hidden)):
        fed, bias = release.weights[f"layers.{layer}.weight"].square().sum(1), release.weights.get(f"layers.{layer}.bias")
        fed = fed if bias is None else fed + bias.square()
        value = (fed * release.weights[f"layers.{layer + 1}.weight"].square().sum(0)).sqrt()
        result.append(value / value.max().clamp(min=torch.finfo(value.dtype).tiny))
    return result
