"""Which groups of parameters a reconstruction leans on: random masks, and a ridge surrogate of the error (after LIME). Ours.

LIME (Ribeiro, Singh, Guestrin, KDD 2016) explains a black box near one input by a linear model of what happens when parts of the input
are blanked. Here the black box is the reconstruction error, and the parts are groups of weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attacks.redundancy.verdict import Redundancy

NOTHING = 2e-3  # of the largest coefficient; the penalty moves about half as much from one group to another


class Surrogate(NamedTuple):
    """error ≈ intercept − Σ over kept groups of their informativeness."""

    informativeness: Float[Tensor, " g"]  # by how much keeping the group lowers the error; negative: the group harms
    standard_error: Float[Tensor, " g"]
    intercept: float
    explained: float  # share of the error's variance over the masks that the surrogate explains

    def redundant(self) -> Bool[Tensor, " g"]:
        """Groups that keep the error where it is, or raise it: within two standard errors of nothing, or 2 ‰ of the strongest group."""
        noise = torch.maximum(2 * self.standard_error, NOTHING * self.informativeness.abs().max())
        return self.informativeness <= noise


def lime(
    error: Callable[[Bool[Tensor, " _"]], float],
    groups: int,
    generator: torch.Generator,
    masks: int = 200,
    keep: float = 0.5,
    ridge: float = 1e-3,
) -> Surrogate:
    """Fits the surrogate on random masks.

    Masks come with their complements where ``keep`` is a half, so that every group is kept exactly as often as not.

    Args:
        error: reconstruction error with the groups kept for which the mask is True, the others blanked.
        groups: how many there are.
        masks: how many times the error is asked for; an even number, more than the groups.
        keep: the chance of a group to be kept.
        ridge: penalty on the squared coefficients, in units of a coefficient's own sum of squares.

    Raises:
        ValueError: too few masks to tell the groups apart, or a chance outside (0, 1).
    """
    if masks <= groups + 1 or masks % 2:
        raise ValueError(f"lime: expected an even number of masks, more than {groups + 1} for {groups} groups, got {masks}")
    if not 0 < keep < 1:
        raise ValueError(f"lime: keep lies in (0, 1), not {keep}")
    drawn = torch.rand(masks // 2 if keep == 0.5 else masks, groups, generator=generator) < keep
    kept = torch.cat([drawn, ~drawn]) if keep == 0.5 else drawn
    errors = torch.tensor([float(error(mask)) for mask in kept], dtype=torch.float64)
    X = kept.double()
    means = X.mean(0)
    centred, target = X - means, errors - errors.mean()
    gram = centred.mT @ centred
    inverse = torch.linalg.inv(gram + ridge * masks * keep * (1 - keep) * torch.eye(groups, dtype=torch.float64))
    coefficients = inverse @ (centred.mT @ target)
    residual = target - centred @ coefficients
    noise = residual.square().sum() / max(1, masks - groups - 1)
    variance = (inverse @ gram @ inverse).diagonal() * noise
    total = float(target.square().sum())
    return Surrogate(
        -coefficients.float(),
        variance.clamp(min=0).sqrt().float(),
        float(errors.mean() - means @ coefficients),
        1 - float(residual.square().sum()) / total if total > 0 else 0.0,
    )


def of_groups(surrogate: Surrogate, groups: Mapping[str, Tensor]) -> Redundancy:
    """The verdict on parameters from that on their groups.

    Args:
        groups: the number of each parameter's group.
    """
    redundant = surrogate.redundant()
    return Redundancy(
        {name: surrogate.informativeness.to(number.device)[number] for name, number in groups.items()},
        {name: redundant.to(number.device)[number] for name, number in groups.items()},
    )
