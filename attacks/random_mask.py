"""Control of the informed track: the reconstructor reads parameters chosen at random: what a mask does by its size alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.reconstructor import Study
from attacks.redundancy.guided_informed import GuidedInformed
from attacks.redundancy.units import mask_of_units, most_informative
from attacks.redundancy.verdict import in_shape
from bench.registry import register
from bench.tracks.informed import Release


@register
@dataclass(frozen=True)
class RandomMask(GuidedInformed):
    """Informed adversary on a random share of hidden units, or of coordinates: beside `mnemonist_informed` at the same ``keep``."""

    name: ClassVar[str] = "random_mask"
    paper: ClassVar[str] = "none: a control"
    track: ClassVar[str] = "informed"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "initial_weights", "known_data", "shadow_data"})
    version: ClassVar[int | None] = 1

    level: str = "unit"  # unit | coordinate: unit beside the detectors lime and inactive, coordinate beside constant and unmoved

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep == 0:
            raise ValueError("keep is a share in (0, 1], not 0")
        if self.level not in ("unit", "coordinate"):
            raise ValueError(f"level is unit or coordinate, not {self.level!r}")

    def chosen(self, release: Release, of: Study, weights: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        like = {name: w[0] for name, w in weights.items()}
        if self.level == "unit":
            drawn = [torch.rand(width, generator=generator) for width in release.architecture.hidden]
            kept = [mask.to(release.device) for mask in most_informative(drawn, self.keep)]
            return mask_of_units(kept, like)
        total = sum(w.numel() for w in like.values())
        mask = torch.zeros(total, dtype=torch.bool)
        mask[torch.randperm(total, generator=generator)[: max(1, round(self.keep * total))]] = True
        return in_shape(mask.to(release.device), like)
