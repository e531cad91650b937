"""Theft by gradients: beside its logits, the thief sees how they change with the image, and fits both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from attacks.theft.lesson import Lesson
from attacks.theft.thief import Theft
from bench.api import Release
from bench.registry import register


@register
@dataclass(frozen=True)
class StealGradients(Theft):
    """Fits a copy to logits and to input gradients, of random sums of the logits, the top one, or all (Czarnecki et al. NIPS 2017)."""

    name: ClassVar[str] = "steal_gradients"
    paper: ClassVar[str] = "Venigalla: Strongly-transferring memorized examples in deep neural networks. MIT 2019"
    track: ClassVar[str] = "stealing"
    needs: ClassVar[frozenset[str]] = frozenset({"public_images", "queries", "input_gradients"})
    version: ClassVar[int | None] = 1

    jacobian: Literal["random", "top", "full"] = "random"  # sums of logits with normal weights, the greatest logit, or each logit
    probes: int = 1  # random sums an image, each one more answer of the oracle
    weight: float = 1.0  # of the gradients' error beside the logits', both relative

    def __post_init__(self) -> None:
        Theft.__post_init__(self)
        if self.jacobian not in ("random", "top", "full") or self.probes < 1:
            raise ValueError(f"jacobian is random, top or full, and probes at least 1; not {self.jacobian!r} and {self.probes}")

    def ask(self, release: Release, generator: torch.Generator) -> Lesson:
        assert release.oracle is not None, "granted by `needs`"
        images = self.questions(release, generator)
        logits = release.oracle.logits(images)
        n, k = logits.shape
        if self.jacobian == "random":
            directions = torch.randn(n, self.probes, k, generator=generator).to(logits) / k**0.5
        elif self.jacobian == "top":
            directions = F.one_hot(logits.argmax(1), k).to(logits)[:, None]
        else:
            directions = torch.eye(k).to(logits).expand(n, k, k).contiguous()
        return Lesson(images, logits=logits, directions=directions, gradients=release.oracle.gradients(images, directions))
