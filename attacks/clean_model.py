"""Control of the stealing track: no theft, a network trained on right labels of the same images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.theft.lesson import Lesson, right_labels
from attacks.theft.thief import Theft
from bench.registry import register
from bench.tracks.stealing import Release


@register
@dataclass(frozen=True)
class CleanModel(Theft):
    """Trains a network on public images under their right labels, without asking the owner anything."""

    name: ClassVar[str] = "clean_model"
    paper: ClassVar[str] = "none: a control"
    track: ClassVar[str] = "stealing"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"public_images", "shadow_data"})
    version: ClassVar[int | None] = 2

    def ask(self, release: Release, generator: torch.Generator) -> Lesson:
        return right_labels(release, self.queries, generator)
