"""The informed adversary as an equation: which image makes training end at the released weights? Ours.

The attacker knows all training images but one, the recipe and the initial weights. So training is a function of the missing image, and
of few numbers only where descent is full-batch (`attacks.inverse.subspace`). The attack inverts it by Gauss-Newton steps that the
kinks of ReLU do not trap (`attacks.inverse.robust`), from the kernel's answer of `informed_adversary`. Where a network's equations hold
in the end its image is the right one; where they do not, nor nearly, the kernel's answer stands.

A confidence is the decimal logarithm of how far below `SOLVED` the misfit of the equations fell: below 0 they do not hold. The loss is the
share of such networks. Thresholds and steps were chosen on seed 100 of MNIST, photo_tiles and CIFAR-10, by a few networks of each:

=================  ========================================  =============  =====================
seed 100           networks with SSIM ≥ 0.99                 kernel's SSIM  CPU seconds a network
=================  ========================================  =============  =====================
photo_tiles, relu  9 of 12; the equations hold in 7          .38            2.4
MNIST, relu        5 of 6; the equations hold in these       .54            12
CIFAR-10, gelu     4 of 4                                    .17            6 to 12
CIFAR-10, relu     0 of 3 (.45, .49, .34), after 12 steps         .15            28
=================  ========================================  =============  =====================

CIFAR-10's networks with ReLU are the open case: 0.3 % of the way from the truth to the kernel's answer 3 500 of the 476 000 signs that
units have over 237 epochs differ, and no step is nearer than it began.
An image whose equations do not hold is mostly near all the same: the limit for it, `NEAR`, is far above `SOLVED`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.claims import inverse
from attacks.inverse import NEAR, SOLVED, Equations, Solution, Subspace, guesses, read_labels, solve
from attacks.reconstructor import WeightReader, rebuild, study
from attacks.reconstructor.study import shadow_set
from bench.api import Candidates, Claim, Objective
from bench.registry import register
from bench.tracks.informed import Release

LABELS = 3  # of a network that are tried, at most
DOUBT = 0.05  # misfit above which the label may be a wrong one (a network of photo_tiles with GELU came to .14 with it, seed 100)
EXACT = 1e-300  # a misfit of 0 has no logarithm


@register
@dataclass(frozen=True)
class InformedInverse(WeightReader):
    """Solves "training on the known images and this one gives these weights" for the image."""

    name: ClassVar[str] = "informed_inverse"
    paper: ClassVar[str] = (
        "ours; threat model of Balle, Cherubin, Hayes: Reconstructing Training Data with Informed Adversaries, IEEE S&P 2022"
    )
    track: ClassVar[str] = "informed"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "initial_weights", "known_data", "shadow_data"})
    version: ClassVar[int | None] = 2
    claims: ClassVar[tuple[Claim, ...]] = inverse.CLAIMS
    goes_by: ClassVar[Objective] = Objective("orders of magnitude by which the equations hold")

    steps: int = 15  # Gauss–Newton steps from one start, at most
    tries: int = 8  # starts of a network whose equations do not hold yet, at most
    work: float = 300.0  # GFLOP of derivatives of a network, after which no new start is tried
    pool: int = 100  # public images of the label that further starts are chosen from

    def reconstruct(self, release: Release, generator: torch.Generator) -> Candidates:
        of = study(release, self.shadows, self.mirror)
        answers, _ = rebuild(of, release, self.reconstructor, epochs=self.epochs)
        public, public_labels = shadow_set(release, self.mirror)
        labels = read_labels(of, public_labels[: len(of.images)])
        space = Subspace.of(release)
        found = []
        for i, answer in enumerate(answers):
            equations = Equations(release, space, i)
            alike = [(label, public[public_labels == label][: self.pool]) for label in labels[i, :LABELS]]
            ways = (guesses(equations, answer, label, some) for label, some in alike)
            found.append(self._network(equations, ways, generator))
        images = torch.stack([answer if image is None else image for answer, (image, _) in zip(answers, found, strict=True)])
        confidence = torch.tensor([sure for _, sure in found]).to(images)
        return Candidates(images, confidence, sum(sure < 0 for _, sure in found) / len(found))

    def _network(self, equations: Equations, ways: Iterator[Iterator[Solution]], generator: torch.Generator) -> tuple[Tensor | None, float]:
        """The image of one network, None where its equations do not nearly hold, and the confidence.

        Starts are the kernel's answer with the likeliest label, with others while in doubt, and then, in turn, places close to
        the best end so far and public images.

        Args:
            ways: of each label the starts.
        """
        way = next(ways)
        best = start = next(way)
        spent = 0.0
        for k in range(self.tries):
            if k > 0:
                other = next(ways, None) if best.misfit > DOUBT else None
                way = other or way
                start = best.shaken(generator) if other is None and k % 2 else next(way, best)
            found = solve(equations, start, self.steps, generator)
            best, spent = min(best, found, key=lambda one: one.misfit), spent + found.cost
            if best.misfit <= SOLVED or spent > self.work:
                break
        image = equations.space.images(best.own[None], equations.unit)[0] if best.misfit <= NEAR else None
        return image, math.log10(SOLVED / max(best.misfit, EXACT))
