"""Control: the guided KKT attack with hidden units chosen at random. What a mask does for no other reason than its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.redundancy.guided_kkt import GuidedKKT
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class RandomMaskKKT(GuidedKKT):
    """KKT reconstruction that listens to a random share of the hidden units: beside `mnemonist_kkt` at the same ``keep``."""

    name: ClassVar[str] = "random_mask_kkt"
    paper: ClassVar[str] = "none: a control"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    version: ClassVar[int | None] = 1

    def unit_values(self, release: Release, generator: torch.Generator) -> Sequence[Tensor]:
        return [torch.rand(width, generator=generator).to(release.device) for width in release.architecture.hidden]
