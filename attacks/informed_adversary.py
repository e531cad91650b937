"""The informed adversary of Balle, Cherubin and Hayes, "Reconstructing Training Data with Informed Adversaries" (IEEE S&P 2022).

The attacker knows every training image but one, the recipe and the initial weights. It trains shadow networks, each with another image in
the missing place, learns to read the image off the weights, and reads the secret one off the released weights.

Of the two reconstructors the kernel has the lower squared error and is many times faster; the network's images are sharper, with a higher
SSIM and a lower LPIPS (grid `reconstructors`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from attacks.claims import balle2022
from attacks.reconstructor import WeightReader, rebuild, study
from bench.api import Candidates, Claim
from bench.registry import register
from bench.tracks.informed import Release


@register
@dataclass(frozen=True)
class InformedAdversary(WeightReader):
    """A reconstructor from weights to images, fitted on shadows: by kernel ridge regression (ours), or by a neural network (theirs)."""

    name: ClassVar[str] = "informed_adversary"
    paper: ClassVar[str] = "Balle, Cherubin, Hayes: Reconstructing Training Data with Informed Adversaries, IEEE S&P 2022"
    track: ClassVar[str] = "informed"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "initial_weights", "known_data", "shadow_data"})
    version: ClassVar[int | None] = 1
    claims: ClassVar[tuple[Claim, ...]] = balle2022.CLAIMS

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        images, error = rebuild(study(release, self.shadows, self.mirror), release, self.reconstructor, epochs=self.epochs)
        return Candidates(images, loss=error)
