"""Coordinates that come out the same whatever the missing image is: they cannot tell an attacker what it was. Ours."""

from __future__ import annotations

import torch

from attacks.redundancy.evidence import Evidence
from attacks.redundancy.verdict import Redundancy, in_units_of_its_tensor


def constant(evidence: Evidence, tolerance: float = 1e-5) -> Redundancy:
    """Judges each coordinate by its standard deviation over the shadows.

    Redundant: at most ``tolerance`` of the root mean square of its tensor. Informativeness: the standard deviation, over its root mean
    square in the tensor.

    Args:
        tolerance: relative; shadows that compute one number along different ways differ by some 1e-7.

    Raises:
        ValueError: fewer than two networks.
    """
    if evidence.networks < 2:
        raise ValueError(f"constant: needs two networks at least, got {evidence.networks}")
    redundant, informativeness = {}, {}
    for name, final in evidence.final.items():
        spread = final.std(0, correction=0)
        size = final.square().mean().sqrt().clamp(min=torch.finfo(final.dtype).tiny)
        redundant[name] = spread <= tolerance * size
        informativeness[name] = in_units_of_its_tensor(spread.masked_fill(redundant[name], 0.0))
    return Redundancy(informativeness, redundant)
