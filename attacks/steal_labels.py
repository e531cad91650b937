"""Theft by labels: the oracle tells the class of each image, and a network is trained on that."""

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
class StealLabels(Theft):
    """Trains a copy on the classes that the owner's network gives to query images."""

    name: ClassVar[str] = "steal_labels"
    paper: ClassVar[str] = "Venigalla: Strongly-transferring memorized examples in deep neural networks. MIT 2019"
    track: ClassVar[str] = "stealing"
    needs: ClassVar[frozenset[str]] = frozenset({"public_images", "query_labels"})
    version: ClassVar[int | None] = 2
    claims: ClassVar[tuple[Claim, ...]] = venigalla2019.ON_LABELS

    def ask(self, release: Release, generator: torch.Generator) -> Lesson:
        images = self.questions(release, generator)
        return Lesson(images, labels=release.oracle.labels(images))
