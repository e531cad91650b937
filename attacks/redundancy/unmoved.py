"""Coordinates that training left where they were, but for the shrinking that weight decay does to all of them. Ours.

Full-batch gradient descent with weight decay turns an untouched weight w into (1 − lr·wd)^epochs · w. An attacker who knows the recipe
passes that factor. Without it, it shows: the ratios final / initial of moved coordinates scatter, those of untouched ones all agree.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from attacks.redundancy.evidence import Evidence
from attacks.redundancy.verdict import Redundancy, in_units_of_its_tensor

LEAST = 0.01  # share of the coordinates that must agree on a ratio before it counts as decay
LOOKED_AT = 2_000_000  # ratios looked at for one factor


def unmoved(evidence: Evidence, tolerance: float = 1e-3) -> Redundancy:
    """Judges each coordinate by its distance from where decay alone would have left it.

    Redundant: at most ``tolerance`` of the root mean square of the initial tensor, in every network. Informativeness: that distance,
    averaged over the networks, over its root mean square in the tensor.

    Args:
        evidence: with ``initial``, and ``left`` where the recipe is known.
        tolerance: relative; float32 training over 10⁴ epochs wanders by some 1e-4.

    Raises:
        ValueError: no initial weights.
    """
    initial = evidence.initial
    if initial is None:
        raise ValueError("unmoved: needs the initial weights")
    left = _factors(evidence, initial, tolerance)
    redundant, informativeness = {}, {}
    for name, final in evidence.final.items():
        start = initial[name].to(final)
        distance = (final - left[name] * start).abs()
        size = start.square().mean().sqrt().clamp(min=torch.finfo(final.dtype).tiny)
        redundant[name] = distance.amax(0) <= tolerance * size
        informativeness[name] = in_units_of_its_tensor(distance.mean(0).masked_fill(redundant[name], 0.0))
    return Redundancy(informativeness, redundant)


def _factors(evidence: Evidence, initial: Mapping[str, Tensor], tolerance: float) -> dict[str, float]:
    """The factor of each tensor: as given, or its own, or where too few of its coordinates agree that of the whole network, or 1."""
    if isinstance(evidence.left, Mapping):
        return {name: evidence.left[name] for name in evidence.final}
    if evidence.left is not None:
        return dict.fromkeys(evidence.final, float(evidence.left))
    ratios = {name: _ratios(final, initial[name].to(final)) for name, final in evidence.final.items()}
    whole = common_factor(torch.cat(list(ratios.values())), tolerance)
    return {name: common_factor(r, tolerance) or whole or 1.0 for name, r in ratios.items()}


def _ratios(final: Tensor, start: Tensor) -> Float[Tensor, " r"]:
    """final / initial of the coordinates whose start is not so near zero that the ratio means nothing; of a first few networks."""
    large = start.abs() >= 0.1 * start.square().mean().sqrt()
    large &= start != 0
    some = max(1, LOOKED_AT // max(1, int(large.sum())))
    return (final[:some, large] / start[large]).flatten()


def common_factor(ratios: Float[Tensor, " r"], tolerance: float) -> float | None:
    """The factor in (0, 1] on which the most ratios agree within ± ``tolerance``, if it is 1 % of them and at least three, else None.

    A growth is no decay: ratios beyond 1 are only looked at within the tolerance.
    """
    inside = ratios[(ratios > 0) & (ratios <= 1 + tolerance)].double().log().sort().values
    if not len(inside):
        return None
    ends = torch.searchsorted(inside, inside + 2 * tolerance, right=True)
    agreeing = ends - torch.arange(len(inside), device=inside.device)
    best = int(agreeing.argmax())
    most = int(agreeing[best])
    if most < max(3, LEAST * len(ratios)):
        return None
    return min(1.0, float(inside[best : best + most].median().exp()))
