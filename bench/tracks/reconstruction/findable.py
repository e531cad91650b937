"""What could be found at all: how much of each image lies in the directions that the weights hold, and whether images can be told apart.

Full-batch gradient descent moves the first layer W₁ inside the span of the centred training images only; what was there before shrinks by
weight decay alone: W₁ = ρ W₁(0) + C X. Directions in which C X stands out are what an attack on W₁ can see. A direction counts if its
singular value is above the largest one of ρ W₁(0): by Weyl's inequality there are then no more of them than C X has. ρ need not be known:
outside the span of the training images nothing but ρ W₁(0) is left, so that its size there tells. Whatever else lies there (the steps of
Adam, a defence's noise) counts as noise of the same kind. The share of an image's energy in these directions bounds what comes back of it.

C has an entry for each unit and image, which vanishes where the unit is off. Images at which the same units are on weigh in the weights in
one proportion, and units that are on at the same images repeat each other. The judge counts both, for the attacker knows neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bench.api import KINKED, Architecture

WEIGHT, BIAS = "layers.0.weight", "layers.0.bias"
EDGE = 1.001  # how far above the noise a singular value has to be, in multiples of it, so that rounding gives no direction


def span(weights: Float[Tensor, "units d"], start: Float[Tensor, "units d"], train: Float[Tensor, "n d"]) -> Float[Tensor, "d r"] | None:
    """Orthonormal directions in which the first layer stands out from what is left of its initial weights; None where that cannot be told,
    as there are as many training images as pixels.

    Args:
        start: the first layer before training.
        train: what the network was trained on, centred.
    """
    if len(train) >= train.shape[1]:
        return None
    weights, start, inside = weights.double(), start.double(), torch.linalg.qr(train.double().mT).Q

    def outside(rows: Tensor) -> Tensor:
        return torch.linalg.matrix_norm(rows - rows @ inside @ inside.mT)

    kept = outside(weights) / outside(start).clamp(min=torch.finfo(start.dtype).tiny)
    wide = weights.shape[1] > weights.shape[0]
    values, vectors = torch.linalg.eigh(weights @ weights.mT if wide else weights.mT @ weights)
    above = values > (EDGE * kept * _largest(start)).square()
    found = vectors[:, above]
    return torch.linalg.qr(weights.mT @ found).Q if wide else found


def _largest(rows: Float[Tensor, "units d"]) -> Tensor:
    """The largest singular value."""
    gram = rows @ rows.mT if rows.shape[1] > rows.shape[0] else rows.mT @ rows
    return torch.linalg.eigvalsh(gram)[-1].clamp(min=0).sqrt()


def shares(images: Float[Tensor, "n d"], directions: Float[Tensor, "d r"]) -> Float[Tensor, " n"]:
    """Of each centred image the share of its energy in some orthonormal directions; of an image without energy 0."""
    images = images.to(directions)
    return ((images @ directions).square().sum(1) / images.square().sum(1).clamp(min=1e-30)).clamp(0, 1)


def shared(on: Bool[Tensor, "n units"]) -> int:
    """How many images have exactly the units on that another one has on, too."""
    of, counts = torch.unique(on, dim=0, return_inverse=True, return_counts=True)[1:]
    return int((counts[of] > 1).sum())


def distinct(on: Bool[Tensor, "n units"], activation: str) -> int:
    """How many different columns C can have, up to their scale: the rank of C X is at most that.

    A unit that is off everywhere has an empty column under relu; under leaky_relu the column of one that is on everywhere.
    """
    on = on | ~on.any(0) if activation == "leaky_relu" else on[:, on.any(0)]
    return len(torch.unique(on.mT, dim=0)) if on.shape[1] else 0


def findable(
    architecture: Architecture,
    weights: Mapping[str, Tensor],
    start: Mapping[str, Tensor],
    train: Float[Tensor, "t c h w"],
    members: Float[Tensor, "n c h w"],
    controls: Float[Tensor, "m c h w"],
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Columns of the score row, and of members and controls the column ``span_share``; images centred."""
    if architecture.model != "mlp":
        return {"span_reason": f"the first layer of a {architecture.model} is not fully connected"}, {}
    first = weights[WEIGHT]
    members, controls, train = (images.flatten(1).to(first.device) for images in (members, controls, train))
    row: dict[str, Any] = {}
    if architecture.activation in KINKED:
        on = members.to(first) @ first.mT + weights.get(BIAS, first.new_zeros(())) > 0
        row |= {"shared_patterns": shared(on), "unit_patterns": distinct(on, architecture.activation)}
    directions = span(first, start[WEIGHT].to(first.device), train)
    if directions is None:
        return row | {"span_reason": "as many training images as pixels"}, {}
    sides = {"member": members, "control": controls}
    row |= {"span_reason": "", "span_rank": directions.shape[1]}
    return row, {name: shares(images, directions).cpu() for name, images in sides.items()}
