"""Membership by margin: training images of a network at a KKT point sit at one distance from the decision boundary, the margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Attack
from bench.registry import register
from bench.tracks.membership import Release


@register
@dataclass(frozen=True)
class MarginTest(Attack):
    """How close the size of the output comes to the common margin of the training images; labels are not used.

    The paper shows that in high dimension the training points of a two-layer ReLU network at a KKT point sit at the margin, and that the
    outputs of fresh points are near 0. Ours: the margin is read off the candidates, as the median of the larger half of their sizes, since
    a network that was trained for a finite time has not the margin 1; of several outputs the size is the largest less the next; and
    candidates are ranked by their distance from the margin, without a threshold.
    """

    name: ClassVar[str] = "margin_test"
    paper: ClassVar[str] = "Smorodinsky, Vardi, Safran: Provable privacy attacks on trained shallow neural networks. arXiv 2410.07632"
    track: ClassVar[str] = "membership"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    version: ClassVar[int | None] = 1

    def reconstruct(self, release: Release, generator: torch.Generator) -> Tensor:
        out = release.forward(release.weights, release.images - release.mean_image)
        size = sizes(out)
        larger = size.sort(descending=True).values[: (len(size) + 1) // 2]
        return -(size - larger.median()).abs()


def sizes(out: Tensor) -> Tensor:
    """|f(x)| of one output; of several the largest less the next. Outputs n × k."""
    if out.shape[1] == 1:
        return out[:, 0].abs()
    best = out.topk(2, dim=1).values
    return best[:, 0] - best[:, 1]
