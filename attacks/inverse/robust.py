"""A Gauss–Newton step that trusts most equations and not all.

Between the trial image and the true one lie kinks, and each breaks some equations by a jump that no derivative knows of. Their errors are
far larger than those of the rest. So the linear system is solved for the least Σ log(1 + (residual/ε)²), which outliers hardly move, by
iterated weights, with ε a multiple of the median residual. The weights begin at the residuals as they are: the equations that hold
already are the ones to trust. Beginning at a convex loss, or keeping to least squares, ended further off (seeds 100 to 119).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

ROUNDS = 12
RIDGE = 1e-7  # of the mean curvature: what float32, in which the large products are, leaves of it

Answer = Callable[[Float[Tensor, "b p"]], Float[Tensor, "b q"]]


def robust_step(jacobian: Float[Tensor, "p q"], residual: Float[Tensor, " p"], width: float) -> tuple[Float[Tensor, " q"], Answer]:
    """The step d that makes most of residual − jacobian·d small, and a function that gives the steps of other residuals.

    Those are found with the trust that this one ended at, by one product, where a step of their own takes a dozen systems.

    Args:
        width: ε in units of the median absolute residual; large: nearly least squares.
    """
    left, step, slim = residual, torch.zeros_like(jacobian[0]), jacobian.float()
    eye = torch.eye(jacobian.shape[1]).to(jacobian)
    for _ in range(ROUNDS):
        scale = (width * left.abs().median()).clamp_min(1e-9)
        trust = (1 / (1 + (left / scale).square())).float()
        weighted = slim * trust[:, None]
        normal = (slim.mT @ weighted).double()
        normal += RIDGE * normal.diagonal().mean() * eye
        last, step = step, torch.linalg.solve(normal, (weighted.mT @ residual.float()).double())
        left = residual - jacobian @ step
        if float((step - last).norm()) <= 1e-2 * float(step.norm()):
            break
    return step, lambda residuals: torch.linalg.solve(normal, (weighted.mT @ residuals.mT.float()).double()).mT
