"""The black box that LIME asks: how well a reconstructor reads shadows from some groups of their weights alone. Ours.

Setting the other groups to their mean over the shadows, for all networks, is to leave them out of every distance. Squared distances are
sums over coordinates, so those of a Gaussian kernel are added up from the groups' own; the leave-one-out error of kernel ridge regression
has a closed form; and only inner products of the images enter it. So a mask costs one small inverse, however large weights and images are.

A reconstructor that is fitted once on all weights, and then shown some at their mean, makes a smoother black box (the linear surrogate
explains 97 % of its variance, not 40 to 80 %), but its best units were the worse ones to keep: it tells what that reconstructor leans on,
not what another could do without.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attacks.reconstructor.kernel import fit_on_distances, squared_distances

SHADOWS = 500  # that the error is measured on, at most
DISTANCES = 50_000_000  # numbers that the groups' distance matrices may hold; many groups are judged on fewer shadows


def refit_error(rows: Float[Tensor, "s p"], images: Float[Tensor, "s c h w"], groups: Int[Tensor, " p"]) -> Callable[[Tensor], float]:
    """``error(mask)``: leave-one-out MSE from the groups for which the mask, Bool[Tensor, "g"], is True; with none, that of the mean image.

    The reconstructor is kernel ridge regression with the width, in units of the median distance, and the ridge that are best on all groups.

    Args:
        rows: shadows, scaled.
        groups: number of each coordinate's group.

    Raises:
        ValueError: fewer than ten shadows.
    """
    if len(rows) < 10:
        raise ValueError(f"refit: expected ten shadows at least, got {len(rows)}")
    count = int(groups.max()) + 1
    s = min(SHADOWS, len(rows), max(10, int((DISTANCES / count) ** 0.5)))
    rows, images = rows[:s], images[:s]
    own = torch.stack([squared_distances(rows[:, groups == g], rows[:, groups == g]) for g in range(count)])
    whole = own.sum(0)
    best = fit_on_distances(whole, rows, images)
    width, ridge = best.sharpness * float(whole.median()), best.ridge
    truth = (images - images.mean(0)).flatten(1).double()
    inner = truth @ truth.mT

    def error(mask: Tensor) -> float:
        squares = torch.tensordot(mask.to(own), own, 1)
        median = squares.median()
        kernel = torch.exp(-width / median * squares).double() if float(median) > 0 else torch.zeros_like(inner)
        kernel.diagonal().add_(ridge)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(kernel))
        residual = ((inverse @ inner) * inverse).sum(1) / inverse.diagonal().square()
        return float(residual.mean()) / truth.shape[1]

    return error
