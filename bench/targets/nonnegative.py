"""Non-negative least squares of thousands of unknowns, from their Gram matrix: by block pivoting, on whatever device.

An active-set method such as SciPy's takes one unknown in or out a step, each a solve: minutes for 5 000. Block principal pivoting
(Portugal, Júdice and Vicente 1994; Kim and Park 2011) exchanges all that are on the wrong side at once, and is done after some ten to
thirty solves. It needs unknowns that are linearly independent. What it finds comes with the duality gap, by which the caller takes it or
leaves it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

SOLVES = 100  # at most
PATIENCE = 3  # exchanges of all that do not lessen their number, before one at a time


def nonnegative(gram: Float[Tensor, "n n"], toward: Float[Tensor, " n"]) -> tuple[Float[Tensor, " n"], float]:
    """λ ≥ 0 of the least ½ λᵀGλ − tᵀλ, and a bound on by how much that is above the minimum; infinite where no answer was found.

    The bound is λᵀy + 2 ε Σλ with y = Gλ − t, the gradient, and −ε its least value: the gap to the dual, if no minimum has more than twice
    the sum of the multipliers found.
    """
    positive = torch.zeros_like(toward, dtype=torch.bool)
    lam, gradient = torch.zeros_like(toward), -toward
    slack = 1e-12 * float(toward.abs().max())
    fewest, patience = len(toward) + 1, PATIENCE
    for _ in range(SOLVES):
        wrong = torch.where(positive, lam < 0, gradient < -slack)
        count = int(wrong.sum())
        if not count:
            least = max(0.0, -float(gradient.min()))
            return lam, abs(float(lam @ gradient)) + 2 * least * float(lam.sum())
        if count < fewest:
            fewest, patience = count, PATIENCE
        elif patience:
            patience -= 1
        else:  # the last one alone, which cannot go round in circles
            last = int(wrong.nonzero()[-1])
            wrong = torch.zeros_like(wrong)
            wrong[last] = True
        positive = positive ^ wrong
        chosen = positive.nonzero().squeeze(1)
        lam = torch.zeros_like(toward)
        factor, failed = torch.linalg.cholesky_ex(gram[chosen[:, None], chosen])
        if int(failed):
            break
        lam[chosen] = torch.cholesky_solve(toward[chosen, None], factor)[:, 0]
        gradient = gram @ lam - toward
    return torch.zeros_like(toward), float("inf")
