"""Control of the stealing track: the owner's outputs, but another network's gradients.

A thief by gradients may gain because gradients of any good network say where the classes lie between the images, which is a matter of the
data, or because the owner's say what the owner in particular has learnt. Here the gradients are those of a clean network, at the very
images that the owner is asked about. What this thief has beyond one by outputs alone is the part of the former.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from attacks.theft.lesson import Lesson, directions_of, right_labels
from attacks.theft.thief import Theft, taught
from bench.registry import register
from bench.tracks.stealing import Network, Release

AT_ONCE = 500  # images of one pass


@register
@dataclass(frozen=True)
class StealCleanGradients(Theft):
    """Fits a copy to the owner's logits and to input gradients of a network of its own, trained on right labels of public images."""

    name: ClassVar[str] = "steal_clean_gradients"
    paper: ClassVar[str] = "Venigalla: Strongly-transferring memorized examples in deep neural networks. MIT 2019"
    track: ClassVar[str] = "stealing"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"public_images", "shadow_data", "queries"})
    version: ClassVar[int | None] = 1

    jacobian: Literal["random", "top", "full"] = "random"  # as in steal_gradients
    probes: int = 1
    weight: float = 1.0

    def __post_init__(self) -> None:
        Theft.__post_init__(self)
        if self.jacobian not in ("random", "top", "full") or self.probes < 1:
            raise ValueError(f"jacobian is random, top or full, and probes at least 1; not {self.jacobian!r} and {self.probes}")

    @classmethod
    def lessons(cls, attacks: Sequence[Any], releases: Sequence[Release], generators: Sequence[torch.Generator]) -> list[Lesson]:
        """See Theft. The clean networks have the owner's architecture, whatever the thief's is: they stand in for the owner."""
        right = [right_labels(r, a.queries, g) for a, r, g in zip(attacks, releases, generators, strict=True)]
        as_owner = [dataclasses.replace(attack, model="same") for attack in attacks]
        clean = taught(as_owner, right, releases, generators)
        return [a.ask_beside(c, r, g) for a, c, r, g in zip(attacks, clean, releases, generators, strict=True)]

    def ask_beside(self, clean: Network, release: Release, generator: torch.Generator) -> Lesson:
        """The owner's outputs, and the gradients of the clean network in its place, brought to the owner's scale."""
        images = self.questions(release, generator)
        logits = release.oracle.logits(images)
        directions = directions_of(logits, self.jacobian, self.probes, generator)
        parts = [_answers(release, clean, x, d) for x, d in zip(images.split(AT_ONCE), directions.split(AT_ONCE), strict=True)]
        outputs, gradients = (torch.cat(one) for one in zip(*parts, strict=True))
        scale = logits.square().mean().sqrt() / outputs.square().mean().sqrt()
        return Lesson(images, logits=logits, directions=directions, gradients=scale * gradients)


def _answers(release: Release, network: Network, images: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs of a network of one's own, n × k, and gradients by the image of the sums of them, n × r × c × h × w."""
    x = (images - network.mean_image).requires_grad_()
    with torch.enable_grad():
        out = release.networks.forward(network.architecture, network.weights, x)
        sums = [(out * directions[:, r]).sum() for r in range(directions.shape[1])]
        found = [torch.autograd.grad(s, x, retain_graph=True)[0] for s in sums]
    return out.detach(), torch.stack(found, 1)
