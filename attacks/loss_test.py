"""Membership by loss: a network has a lower loss on what it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.api import Attack
from bench.registry import register
from bench.tracks.membership import Release


@register
@dataclass(frozen=True)
class LossTest(Attack):
    """Minus the training loss at each candidate under its label.

    With one output and cross-entropy this orders candidates as y·f(x) does, the margin under the label.
    """

    name: ClassVar[str] = "loss_test"
    paper: ClassVar[str] = "Yeom et al.: Privacy risk in machine learning. CSF 2018 (their threshold is left out: scores are ranked)"
    track: ClassVar[str] = "membership"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    version: ClassVar[int | None] = 1

    def reconstruct(self, release: Release, generator: torch.Generator) -> Tensor:
        # in float64, where losses near zero still differ
        out = release.forward(release.weights, release.images - release.mean_image).double()
        return -losses(release.architecture.loss, out, release.labels)


def losses(loss: str, out: Tensor, labels: Tensor) -> Tensor:
    """The loss of each image; outputs n × k, labels n."""
    if loss == "ce":
        return F.cross_entropy(out, labels, reduction="none")
    of_class = labels[:, None] if out.shape[1] == 1 else F.one_hot(labels, out.shape[1])
    if loss == "bce":
        return F.binary_cross_entropy_with_logits(out, of_class.to(out), reduction="none").mean(1)
    wanted = 2 * of_class.to(out) - 1
    distance = (out - wanted).square() if loss == "mse" else F.huber_loss(out, wanted, reduction="none")
    return distance.mean(1)
