"""The box prior Σ relu(x − 1)² + relu(−1 − x)² of candidates that are coordinates c in a row space: x = c Vᵀ.

Looking at all pixels would be most of a step, and nearly always in vain: |x_j − x'_j| ≤ ‖V_j‖·‖c − c'‖, so a pixel within ±(1 − s) when
last looked at cannot have reached ±1 before its candidate has moved by s / ‖V_j‖. ``Lazy`` keeps for each run a list of the pixels that
are near the edge in one of its candidates, few of them, and computes these alone; a candidate is looked at in full only when another of
its pixels can have reached the edge. To rounding the same gradient. It reads numbers back in every step, which a captured CUDA graph
cannot: ``Dense`` is for these.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

ROUNDING = 1e-4  # kept between a pixel and the edge of the box, far above the rounding of a float32 pixel
SLACK = 0.1  # a pixel that can come over the edge before the fastest one of all has moved by this is listed


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
    """Looks at a candidate's pixels only where one that is not listed can have reached ±1 since the last look.

    Args:
        bases: of the runs, D × r; the same tensor for runs that share one, which then stand side by side.
        like: the candidates, b × m × r; says shape, precision and device.
    """

    def __init__(self, bases: Sequence[Float[Tensor, "d r"]], like: Float[Tensor, "b m r"]) -> None:
        shared = [list(group) for _, group in groupby(range(len(bases)), key=lambda i: id(bases[i]))]
        self.bases = [bases[group[0]] for group in shared]
        self.lengths = [basis.norm(dim=1).clamp(min=torch.finfo(like.dtype).tiny) for basis in self.bases]
        sizes = torch.tensor([len(group) * like.shape[1] for group in shared])
        self.owner = torch.repeat_interleave(torch.arange(len(shared)), sizes).to(like.device)  # candidate → basis
        self.run = torch.arange(len(bases), device=like.device).repeat_interleave(like.shape[1])  # candidate → run
        self.of_run = list(bases)
        # at c = 0 every pixel is 0, without a look
        longest = torch.stack([lengths.max() for lengths in self.lengths])
        self.anchor = torch.zeros_like(like).flatten(0, 1)  # coordinates at the last look
        self.reach = (1 - ROUNDING) / longest[self.owner]  # movement since then that leaves the pixels that are not listed in the box
        self.listed = torch.zeros(len(bases), len(bases[0]), dtype=torch.bool, device=like.device)
        self.near = like.new_zeros(len(bases), 0, like.shape[2])  # the bases' rows of the listed pixels, then zeros

    def add_to(self, grad: Float[Tensor, "b m r"], c: Float[Tensor, "b m r"]) -> int:
        """Adds the gradient at c; returns how many candidates were looked at. One that is not finite never is: its run is lost anyway."""
        flat = c.flatten(0, 1)
        due = (torch.linalg.vector_norm(flat - self.anchor, dim=-1) > self.reach).nonzero().squeeze(1)
        if len(due):
            self._look(flat, due)
        if self.near.shape[1]:
            grad.baddbmm_(F.softshrink(torch.bmm(c, self.near.mT), 1.0), self.near, alpha=2)
        return len(due)

    def _look(self, flat: Float[Tensor, "k r"], due: Int[Tensor, " n"]) -> None:
        """Lists what comes near the edge, and says how far the candidates that are due can go until the next look."""
        longer = False
        parts = [due] if len(self.bases) == 1 else due.split(torch.bincount(self.owner[due], minlength=len(self.bases)).tolist())
        for basis, lengths, rows in zip(self.bases, self.lengths, parts, strict=True):
            if not len(rows):
                continue
            near, runs = flat[rows], self.run[rows]
            room = (1 - ROUNDING - (near @ basis.mT).abs()) / lengths
            soon = ((room < SLACK / lengths.max()) & ~self.listed[runs]).nonzero()
            if len(soon):
                self.listed[runs[soon[:, 0]], soon[:, 1]] = longer = True
            self.anchor[rows] = near
            self.reach[rows] = room.masked_fill_(self.listed[runs], torch.inf).amin(1)
        if longer:
            chosen = [basis[listed] for basis, listed in zip(self.of_run, self.listed, strict=True)]
            self.near = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True)
