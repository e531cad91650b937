"""Where the search starts: from the kernel's answer, then from public images of the same label, the best fitting first."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attacks.inverse.equations import Equations
from attacks.inverse.newton import Solution, misfit


def guesses(
    equations: Equations, answer: Float[Tensor, "c h w"], label: Int[Tensor, ""], public: Float[Tensor, "s c h w"]
) -> Iterator[Solution]:
    """Starts in the order in which they are worth trying. Those from public images cost a training each, once they are asked for.

    Args:
        answer: the kernel's.
        public: images of the label, to start from where the answer leads nowhere.
    """
    yield from _fitted(equations, answer[None], label)
    if len(public):
        yield from _fitted(equations, public, label)


def _fitted(equations: Equations, images: Tensor, label: Tensor) -> list[Solution]:
    """Images as starts, each with the better sign of what it has outside the span, by falling fit."""
    space = equations.space
    own = space.coordinates(images, equations.unit)
    length = space.outside(images.double().flatten(1) - space.mean).norm(dim=1)
    both = torch.stack([torch.cat([own[:, :-1], (sign * length)[:, None]], 1) for sign in (1.0, -1.0)])
    fits = torch.stack([misfit(equations, equations.rows(side, label.expand(len(side)))) for side in both])
    better, sign = fits.min(0)
    return [Solution(both[sign[i], i], label, float(better[i])) for i in better.argsort().tolist()]
