"""KKT reconstruction from weights of which the noise was taken away first: an attacker who knows that noise was added."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.kkt.engine import FIRST, KKTAttack
from attacks.kkt.objective import Kind
from attacks.span import directions
from bench.api import Architecture, Candidates
from bench.registry import register
from bench.tracks.reconstruction import Release

ABOVE = 1.02  # times the edge of the noise, as the most daring pass of `span_ica` has it


@register
@dataclass(frozen=True)
class DenoisedKKT(KKTAttack):
    """As `haim_kkt`, of the first layer in the directions that stand out of the noise, and no others; candidates are sought in these.

    Noise in the other directions no combination of gradients explains, so it drowns the residual. Adapts to `weight_noise`, `span_noise`.
    """

    name: ClassVar[str] = "denoised_kkt"
    paper: ClassVar[str] = "own, on Haim, Vardi, Yehudai, Shamir, Irani (NeurIPS 2022)"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    version: ClassVar[int | None] = 1
    kind: ClassVar[Kind] = "binary"

    def unsupported(self, architecture: Architecture) -> str:
        if architecture.model != "mlp":
            return f"needs a fully connected first layer, this network is a {architecture.model}"
        if architecture.outputs != 1 or architecture.loss != "bce":
            return f"needs one output and the logistic loss, this network has {architecture.outputs} and {architecture.loss}"
        return "" if architecture.homogeneous else "needs a homogeneous network (relu or leaky_relu, bias in the first layer at most)"

    @classmethod
    def reconstruct_batch(
        cls, attacks: Sequence[KKTAttack], releases: Sequence[Release], generators: Sequence[torch.Generator]
    ) -> list[Candidates]:
        bases = [directions(release.weights[FIRST], release.n_train, ABOVE) for release in releases]
        clean = [_within(release, basis) for release, basis in zip(releases, bases, strict=True)]
        there = [dataclasses.replace(a, subspace=str(len(basis))) for a, basis in zip(attacks, bases, strict=True)]
        return super().reconstruct_batch(there, clean, generators)


def _within(release: Release, basis: torch.Tensor) -> Release:
    """The release with the part of the first layer that lies in the directions."""
    first = release.weights[FIRST]
    inside = (first.double() @ basis.mT @ basis).to(first)
    return dataclasses.replace(release, weights={**release.weights, FIRST: inside})
