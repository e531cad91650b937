"""The box prior Σ relu(x − 1)² + relu(−1 − x)² of candidates that are coordinates c in a row space: x = c Vᵀ.

Looking at all pixels would be most of a step, and nearly always in vain: |x_j − x'_j| ≤ ‖V_j‖·‖c − c'‖, so a candidate whose pixels were
within ±(1 − s) when last looked at cannot have reached ±1 before it has moved by s / max_j ‖V_j‖. ``Lazy`` looks at those candidates only
that have moved so far: exactly the same gradient. It reads numbers back in every step, which a captured CUDA graph cannot: ``Dense`` is
for these.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ROUNDING = 1e-4  # kept between a pixel and the edge of the box, far above the rounding of a float32 pixel


def box_gradient(c: Float[Tensor, "*b k r"], basis: Float[Tensor, "*b d r"]) -> Float[Tensor, "*b k r"]:
    """The gradient of the box prior by coordinates, all pixels looked at."""
    return F.softshrink(c @ basis.mT, 1.0).mul_(2) @ basis


class Dense:
    """Looks at every pixel of every candidate, always. Works in place on tensors that exist beforehand.

    Args:
        bases: of the runs, D × r; the same tensor for runs that share one.
    """

    def __init__(self, bases: Sequence[Float[Tensor, "d r"]]) -> None:
        self.shared = all(basis is bases[0] for basis in bases)
        self.basis = bases[0] if self.shared else torch.stack(list(bases))

    def add_to(self, grad: Float[Tensor, "b m r"], c: Float[Tensor, "b m r"]) -> None:
        """Adds the gradient at c."""
        if self.shared:  # one large product
            grad += box_gradient(c.flatten(0, 1), self.basis).view_as(c)
        else:
            grad += box_gradient(c, self.basis)


class Lazy:
    """Looks at a candidate's pixels only where one of them can have reached ±1 since the last look.

    Args:
        bases: of the runs, D × r; the same tensor for runs that share one, which then stand side by side.
        like: the candidates, b × m × r; says shape, precision and device.
    """

    def __init__(self, bases: Sequence[Float[Tensor, "d r"]], like: Float[Tensor, "b m r"]) -> None:
        shared = [list(group) for _, group in groupby(range(len(bases)), key=lambda i: id(bases[i]))]
        self.bases = [bases[group[0]] for group in shared]
        self.longest = [float(basis.norm(dim=1).max()) for basis in self.bases]
        sizes = torch.tensor([len(group) * like.shape[1] for group in shared])
        self.owner = torch.repeat_interleave(torch.arange(len(shared)), sizes).to(like.device)  # candidate → basis
        # at c = 0 every pixel is 0, without a look
        self.anchor = torch.zeros_like(like).flatten(0, 1)  # coordinates at the last look
        self.reach = (1 - ROUNDING) / torch.tensor(self.longest, device=like.device, dtype=like.dtype)[self.owner]  # movement since then

    def add_to(self, grad: Float[Tensor, "b m r"], c: Float[Tensor, "b m r"]) -> int:
        """Adds the gradient at c; returns how many candidates were looked at. One that is not finite never is: its run is lost anyway."""
        flat = c.flatten(0, 1)
        due = (torch.linalg.vector_norm(flat - self.anchor, dim=-1) > self.reach).nonzero().squeeze(1)
        if not len(due):
            return 0
        parts = [due] if len(self.bases) == 1 else due.split(torch.bincount(self.owner[due], minlength=len(self.bases)).tolist())
        for basis, longest, rows in zip(self.bases, self.longest, parts, strict=True):
            if not len(rows):
                continue
            near = flat[rows]
            pixels = near @ basis.mT
            self.anchor[rows] = near
            self.reach[rows] = (1 - ROUNDING - torch.linalg.vector_norm(pixels, torch.inf, dim=-1)) / longest
            grad.view_as(flat).index_add_(0, rows, F.softshrink(pixels, 1.0) @ basis, alpha=2)
        return len(due)
