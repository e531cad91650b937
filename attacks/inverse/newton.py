"""From a start to the image with which training gives the released weights, step by step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attacks.inverse.equations import Equations
from attacks.inverse.robust import robust_step

WIDTHS = (0.3, 1.0, 30.0)  # how many equations a step trusts; the last is nearly least squares, best where nothing is broken
LENGTHS = (1.0, 0.5)
SHAKEN = 8  # points around a place that the search is stuck at: each has other kinks between itself and the truth
SOLVED = 5e-3  # misfit at which the image is right to the eye; chosen on seeds 100 to 119
EXACT = 3e-4  # misfit at which it is exact but for rounding, and the search ends
PATIENCE = 3  # steps without a better fit before a start is given up


class Solution(NamedTuple):
    """An image in the coordinates of its equations, and how well they hold."""

    own: Float[Tensor, " k"]
    label: Int[Tensor, ""]
    misfit: float


def misfit(equations: Equations, rows: Float[Tensor, "b p"]) -> Float[Tensor, " b"]:
    """Geometric mean of the residuals, as a share of the mean image's: low where most equations hold, whatever the others say."""
    return equations.size(rows) / equations.scale


def solve(equations: Equations, start: Solution, steps: int, generator: torch.Generator) -> Solution:
    """Full steps, the best of several each time even where it fits worse than the last; the best of the way is kept.

    A step that does not help is followed by steps from points nearby too, as far away as the last step was long, and by its derivatives.
    """
    best, label = start, start.label
    own, row = start.own, equations.rows(start.own[None], label[None])[0]
    stale, reach = 0, 0.0
    for _ in range(steps):
        jacobian = equations.jacobian(own, label, row)
        moves = [robust_step(jacobian, equations.wanted - row, width) for width in WIDTHS]
        tried = [own + length * move for length in LENGTHS for move in moves]
        if stale:
            noise = torch.randn(SHAKEN, len(own), generator=generator, dtype=own.dtype).to(own)
            near = own + reach * noise / noise.norm(dim=1, keepdim=True)
            rows = equations.rows(near, label.expand(SHAKEN))
            tried += [place + robust_step(jacobian, equations.wanted - r, WIDTHS[0]) for place, r in zip(near, rows, strict=True)]
        points = torch.stack(tried)
        rows = equations.rows(points, label.expand(len(points)))
        fits = misfit(equations, rows)
        k = int(fits.argmin())
        reach = float((points[k] - own).norm())
        own, row = points[k], rows[k]
        stale = stale + 1 if float(fits[k]) > 0.9 * best.misfit else 0
        if float(fits[k]) < best.misfit:
            best = Solution(own, label, float(fits[k]))
        if best.misfit <= EXACT or stale > PATIENCE:
            break
    return best
