"""After Mnemonist: the informed adversary, guided to the parameters that remember the missing image. The detectors' design is ours.

Redundant parameters are found on the shadows, and the reconstructor is fitted anew without them. ``lime`` and ``inactive`` judge hidden
units, with all that feeds and reads them; ``constant`` and ``unmoved`` judge single coordinates. ``ablate: informative`` turns the knife
round and removes as many of the most informative ones instead: what the attack loses by that is what they held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.claims import mnemonist2023
from attacks.reconstructor import Study
from attacks.redundancy.constant import constant
from attacks.redundancy.evidence import Evidence
from attacks.redundancy.guided_informed import GuidedInformed
from attacks.redundancy.inactive import inactive
from attacks.redundancy.lime import Surrogate, lime
from attacks.redundancy.refit import refit_error
from attacks.redundancy.units import groups, mask_of_units, most_informative
from attacks.redundancy.unmoved import unmoved
from attacks.redundancy.verdict import in_shape
from bench.api import Claim
from bench.registry import register
from bench.tracks.informed import Release

OF_UNITS = ("lime", "inactive")
MASKS = 200  # that LIME draws, at least; and four a group


@register
@dataclass(frozen=True)
class MnemonistInformed(GuidedInformed):
    """Informed adversary whose reconstructor reads informative parameters only."""

    name: ClassVar[str] = "mnemonist_informed"
    paper: ClassVar[str] = "after Shahin Shamsabadi, Hayes, Balle, Weller: Mnemonist. UAI 2023 (the detectors and their use here are ours)"
    track: ClassVar[str] = "informed"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "initial_weights", "known_data", "shadow_data"})
    version: ClassVar[int | None] = 3
    claims: ClassVar[tuple[Claim, ...]] = mnemonist2023.ON_INFORMED

    # inherited `keep`: share of hidden units (lime, inactive) or of parameters; 0: all that the detector does not call redundant
    detector: str = "lime"  # lime | constant | unmoved | inactive
    ablate: str = "redundant"  # redundant | informative: which end of the ranking is removed

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.detector not in ("lime", "constant", "unmoved", "inactive"):
            raise ValueError(f"detector is lime, constant, unmoved or inactive, not {self.detector!r}")
        if self.ablate not in ("redundant", "informative"):
            raise ValueError(f"ablate is redundant or informative, not {self.ablate!r}")

    def chosen(self, release: Release, of: Study, weights: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        like = {name: w[0] for name, w in weights.items()}
        if self.detector in OF_UNITS:
            return mask_of_units(self._kept_units(*self._units(release, of, weights)), like)
        verdict = (constant if self.detector == "constant" else unmoved)(_evidence(release, of, weights))
        values = torch.cat([v.flatten() for v in verdict.informativeness.values()])
        redundant = torch.cat([r.flatten() for r in verdict.redundant.values()])
        return in_shape(self._kept(values, redundant), like)

    def _units(self, release: Release, of: Study, weights: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Of each hidden layer's units how informative they are, and which are redundant."""
        widths = list(release.architecture.hidden)
        if self.detector == "inactive":
            values = list(inactive(_evidence(release, of, weights)).units)
            return values, [v == 0 for v in values]
        found = self._surrogate(release, of, weights)
        size = sum(widths)
        judged = (found.informativeness[:size], found.redundant()[:size])  # the group after the units is the output bias
        informativeness, redundant = (list(v.to(release.device).split(widths)) for v in judged)
        return informativeness, redundant

    def _surrogate(self, release: Release, of: Study, weights: Mapping[str, Tensor]) -> Surrogate:
        """What LIME finds: one for all masks of a target, so that they are nested, and asked for once."""
        number = torch.cat([g.flatten() for g in groups({k: w[0] for k, w in weights.items()}, release.architecture.hidden).values()])
        count = int(number.max()) + 1
        masks = max(MASKS, 4 * count)

        def make() -> dict[str, Tensor]:
            error = refit_error(of.shadows, of.images, number)
            found = lime(error, count, torch.Generator().manual_seed(0), masks=masks)
            fit = torch.tensor([found.intercept, found.explained], dtype=torch.float64)
            return {"informativeness": found.informativeness, "standard_error": found.standard_error, "fit": fit}

        name = f"lime by refitting, {masks} masks, {len(of.shadows)} shadows, mirror {self.mirror}"
        kept = release.keep(name, make)
        return Surrogate(kept["informativeness"], kept["standard_error"], float(kept["fit"][0]), float(kept["fit"][1]))

    def _kept_units(self, units: list[Tensor], redundant: list[Tensor]) -> list[Tensor]:
        if self.keep == 0:
            return [self._kept(v, r) for v, r in zip(units, redundant, strict=True)]
        return list(most_informative(units if self.ablate == "redundant" else [-v for v in units], self.keep))

    def _kept(self, values: Tensor, redundant: Tensor) -> Tensor:
        """True for what is kept: all but so many at one end of the ranking."""
        removed = int(redundant.sum()) if self.keep == 0 else len(values) - max(1, round(self.keep * len(values)))
        order = values.argsort(descending=self.ablate == "informative", stable=True)
        kept = torch.ones(len(values), dtype=torch.bool, device=values.device)
        kept[order[:removed]] = False
        return kept


def _evidence(release: Release, of: Study, weights: Mapping[str, Tensor]) -> Evidence:
    return Evidence(
        release.architecture,
        weights,
        release.initial_weights,
        known=release.known_images - release.mean_image,
        missing=of.images - release.mean_image,
    )
