"""How far each image is from the decision boundary of a released network, and how much it weighs in its weights.

The margin is the constraint of the max-margin problem: gᵢ = yᵢ·Φ(xᵢ) with yᵢ = ±1 of a single output (Haim et al. 2022, eq. 3), or
gᵢ = Φ_y(xᵢ) − max over j ≠ y of Φ_j(xᵢ) (Buzaglo et al. 2023, eq. 2). At a KKT point only the images on the margin, those of least gᵢ, have
a multiplier λᵢ > 0, so that only these are in the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.metrics.intervals import auc


def margins(
    forward: Callable[..., Tensor], weights: Mapping[str, Tensor], x: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """gᵢ of each image; below 0: misclassified.

    Args:
        x: centred inputs.
    """
    out = forward(weights, x.to(next(iter(weights.values()))))
    if out.shape[1] == 1:
        return out[:, 0] * (2 * labels - 1).to(out)
    of_class = labels.to(out.device).unsqueeze(1)
    return out.gather(1, of_class)[:, 0] - out.scatter(1, of_class, -torch.inf).amax(1)


def multiplier_of_each(multipliers: Sequence[float], n: int) -> Float[Tensor, " n"]:
    """One multiplier an image: its own, or of the several that K-output regression has the largest by size."""
    each = torch.tensor(multipliers, dtype=torch.float64).view(n, -1)
    return each.gather(1, each.abs().argmax(1, keepdim=True))[:, 0]


def membership_auc(out: Float[Tensor, "n k"], members: int) -> float:
    """How often a member is nearer to the margin than an image that was not trained on, by the attack ``margin_test``, whose docstring has
    the paper; ties count half.

    Args:
        out: outputs of the network, those of the members first.
    """
    top = out.topk(min(2, out.shape[1]), dim=1).values
    size = out[:, 0].abs() if out.shape[1] == 1 else top[:, 0] - top[:, 1]
    margin = size.sort(descending=True).values[: (len(size) + 1) // 2].median()
    near = -(size - margin).abs().double().cpu().numpy()
    return float(auc(near[:members], near[members:]))
