"""The black box that LIME asks: the error of a reconstructor on shadows it was not fitted on, with groups of weights blanked. Ours.

Blanked weights take their mean over the shadows, which is 0 on the shadows' scale. Squared distances are sums over coordinates, so those of
a Gaussian kernel are added up from the groups' own, and a mask costs no more than one kernel matrix.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attacks.reconstructor.kernel import fit_kernel, squared_distances

FITTED, HELD_OUT = 800, 200  # shadows at most; errors of one set of held-out shadows are compared with each other only


def blanking_error(rows: Float[Tensor, "s p"], images: Float[Tensor, "s c h w"], groups: Int[Tensor, " p"]) -> Callable[[Tensor], float]:
    """``error(mask)``: MSE of the reconstructions of held-out shadows from the groups for which the mask, Bool[Tensor, "g"], is True.

    The reconstructor is kernel ridge regression, fitted once on all groups of the other shadows.

    Args:
        rows: shadows, scaled.
        groups: number of each coordinate's group.

    Raises:
        ValueError: fewer than ten shadows.
    """
    if len(rows) < 10:
        raise ValueError(f"blanking: expected ten shadows at least, got {len(rows)}")
    held = max(1, min(HELD_OUT, len(rows) // 5))
    fitted = min(FITTED, len(rows) - held)
    kernel = fit_kernel(rows[:fitted], images[:fitted])
    tested, truth = rows[fitted : fitted + held], images[fitted : fitted + held]
    squares, blanked = [], []
    for group in range(int(groups.max()) + 1):
        columns = groups == group
        squares.append(squared_distances(tested[:, columns], kernel.shadows[:, columns]))
        blanked.append(kernel.shadows[:, columns].square().sum(1))  # from 0 to each fitted shadow
    seen, unseen = torch.stack(squares), torch.stack(blanked)
    coefficients = kernel.coefficients.to(seen.dtype)  # single precision is enough to compare errors, and twice as fast

    def error(mask: Tensor) -> float:
        mask = mask.to(seen.device)
        distances = torch.tensordot(mask.to(seen.dtype), seen, 1) + torch.tensordot((~mask).to(seen.dtype), unseen, 1)
        values = torch.exp(-kernel.sharpness * distances) @ coefficients
        return float(((values.view_as(truth) + kernel.mean).clamp(0, 1) - truth).square().mean())

    return error
