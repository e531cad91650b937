"""Theft by outputs: the oracle tells the logits of each image, and a network is fitted to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.claims import venigalla2019
from attacks.theft.lesson import Lesson
from attacks.theft.thief import Theft
from bench.api import Claim
from bench.registry import register
from bench.tracks.stealing import Release


@register
@dataclass(frozen=True)
class StealLogits(Theft):
    """Fits a copy to the logits of query images by least squares."""

    name: ClassVar[str] = "steal_logits"
    paper: ClassVar[str] = "Venigalla: Strongly-transferring memorized examples in deep neural networks. MIT 2019"
    track: ClassVar[str] = "stealing"
    needs: ClassVar[frozenset[str]] = frozenset({"public_images", "queries"})
    version: ClassVar[int | None] = 2
    claims: ClassVar[tuple[Claim, ...]] = venigalla2019.ON_LOGITS

    def ask(self, release: Release, generator: torch.Generator) -> Lesson:
        images = self.questions(release, generator)
        return Lesson(images, logits=release.oracle.logits(images))
