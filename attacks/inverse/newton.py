"""From a start to the image with which training gives the released weights, step by step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attacks.inverse.equations import Equations
from attacks.inverse.robust import robust_step

TRUST = 0.5  # how many equations a step trusts: those with residuals about half the median and less
WIDTHS = (TRUST, 1.0, 30.0)  # the last is nearly least squares, best where nothing is broken
CLEARLY = 0.3  # share of the misfit at which another width is better beyond doubt
FAST = 0.3  # share of the misfit that a step leaves where the Jacobian serves once more
SHAKEN = 8  # points around a place that the search is stuck at: each has other kinks between itself and the truth
SHAKE = 0.05  # of an image's norm: how far from a dead end the next start is
NEAR = 0.3  # misfit below which the image is better than the kernel's (seed 100; photo_tiles: SSIM .85 for .4 at a misfit of .12)
SOLVED = 2e-3  # misfit at which the equations hold (SSIM above 0.99 there)
EXACT = 3e-4  # misfit at which it is exact but for rounding, and the search ends
PATIENCE = 2  # steps without a better fit before points nearby are tried, and twice as many more before a start is given up


class Solution(NamedTuple):
    """An image in the coordinates of its equations, and how well they hold."""

    own: Float[Tensor, " k"]
    label: Int[Tensor, ""]
    misfit: float
    cost: float = 0.0  # GFLOP of the derivatives on the way to it

    def shaken(self, generator: torch.Generator) -> Solution:
        """A start nearby, with other kinks between itself and the truth."""
        noise = torch.randn(self.own.shape, generator=generator, dtype=self.own.dtype).to(self.own)
        return self._replace(own=self.own + SHAKE * self.own.norm() * noise / noise.norm(), misfit=float("inf"))


def misfit(equations: Equations, rows: Float[Tensor, "b p"]) -> Float[Tensor, " b"]:
    """Geometric mean of the residuals, as a share of the mean image's: low where most equations hold, whatever the others say."""
    return equations.size(rows) / equations.scale


def solve(equations: Equations, start: Solution, steps: int, generator: torch.Generator) -> Solution:
    """Full steps that trust the same share of the equations each time, whether they fit better or not; the best of the way is kept.

    To choose steps by their fit is what the kinks trap, so another one is taken only where it is better beyond doubt. Once the fit
    improves no more, the image is near, and few kinks lie before it: then the best of many steps is taken, from points nearby too, as far
    away as the last step was long. While steps gain fast the derivatives are brought up to date by the steps themselves (Broyden's), not
    computed again: GELU on CIFAR-10 then takes 3 to 6 of them where it took 5 to 7.

    What was tried besides on ReLU (seed 100) and brought no more images to an SSIM of .99: derivatives smoothed over the kinks units cross
    in time; public images as a prior of the steps; 32 points nearby for 8; forcing single kinks to the other side, the best of 64 each
    time. With all kinks as in the true training four steps from the kernel's answer suffice. But one kink early on, wrong by a thousandth
    of the image, moves hundreds after it: on photo_tiles the fit is worse there than in false ends a tenth of the image away.
    """
    best, label = start, start.label
    own, row, jacobian = start.own, torch.empty(0), None
    stale, reach, before, spent = 0, 0.0, float("inf"), 0.0
    for _ in range(steps):
        if jacobian is None:
            row, jacobian = equations.tangent(own, label)
            spent += equations.cost
        found = [robust_step(jacobian, equations.wanted - row, width) for width in WIDTHS]
        points = torch.stack([own + step for step, _ in found])
        if stale >= PATIENCE:
            noise = torch.randn(SHAKEN, len(own), generator=generator, dtype=own.dtype).to(own)
            near = own + reach * noise / noise.norm(dim=1, keepdim=True)
            left = equations.wanted - equations.rows(near, label.expand(SHAKEN))
            points = torch.cat([points, *(near + answer(left) for _, answer in found[:2])])
        rows = equations.rows(points, label.expand(len(points)))
        fits = misfit(equations, rows)
        k = int(fits.argmin())
        if stale < PATIENCE and float(fits[k]) > CLEARLY * float(fits[0]):
            k = 0
        step, moved, fit = points[k] - own, rows[k] - row, float(fits[k])
        jacobian = _updated(jacobian, step, moved) if fit < FAST * before else None
        own, row, reach, before = points[k], rows[k], float(step.norm()), fit
        stale = stale + 1 if fit > 0.9 * best.misfit else min(stale, PATIENCE)
        if fit < best.misfit:
            best = Solution(own, label, fit)
        if best.misfit <= EXACT or stale > 2 * PATIENCE:
            break
    return best._replace(cost=spent)


def _updated(jacobian: Float[Tensor, "p k"], step: Float[Tensor, " k"], moved: Float[Tensor, " p"]) -> Float[Tensor, "p k"]:
    """Broyden's: the nearest Jacobian that explains the last step."""
    return torch.addr(jacobian, moved - jacobian @ step, step / step.square().sum())
