"""A Gauss–Newton step that trusts most equations and not all.

Between the trial image and the true one lie kinks, and each breaks some equations by a jump that no derivative knows of. Their errors are
far larger than those of the rest. So the linear system is solved for the least Σ log(1 + (residual/ε)²), which outliers hardly move, by
iterated weights, with ε a multiple of the median residual. The weights begin at the residuals as they are: the equations that hold
already are the ones to trust. Beginning at a convex loss, or keeping to least squares, ended further off (seeds 100 to 119).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

ROUNDS = 12
RIDGE = 1e-10  # of the mean curvature


def robust_step(jacobian: Float[Tensor, "p q"], residual: Float[Tensor, " p"], width: float) -> Float[Tensor, " q"]:
    """The step d that makes most of residual − jacobian·d small.

    Args:
        width: ε in units of the median absolute residual; large: nearly least squares.
    """
    left, step = residual, torch.zeros_like(jacobian[0])
    eye = torch.eye(jacobian.shape[1]).to(jacobian)
    for _ in range(ROUNDS):
        scale = (width * left.abs().median()).clamp_min(1e-9)
        trust = 1 / (1 + (left / scale).square())
        weighted = jacobian * trust[:, None]
        normal = jacobian.mT @ weighted
        last, step = step, torch.linalg.solve(normal + RIDGE * normal.diagonal().mean() * eye, weighted.mT @ residual)
        left = residual - jacobian @ step
        if float((step - last).norm()) <= 1e-2 * float(step.norm()):
            break
    return step
