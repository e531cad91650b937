"""Hidden units and the parameters that belong to them: the row and bias that feed a unit, and the column that reads it.

A weight between two hidden layers belongs to two units. It is kept if both are, and as informative as the lesser of the two. Where the
parameters must be cut into disjoint groups, it goes with the unit that it feeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attacks.kkt.surrogate import activation
from attacks.redundancy.verdict import count
from bench.api import Architecture


def hidden(
    architecture: Architecture, weights: Mapping[str, Float[Tensor, "b ..."]], x: Float[Tensor, "#b n c h w"]
) -> Iterator[Float[Tensor, "b n u"]]:
    """The activations of each hidden layer of b networks on n centred images, each on its own or all on the same."""
    act = activation(architecture.activation, torch.ones((), dtype=x.dtype, device=x.device))  # exact in the forward direction
    a = x.flatten(2)
    for layer in range(len(architecture.hidden)):
        a = a @ weights[f"layers.{layer}.weight"].mT
        bias = weights.get(f"layers.{layer}.bias")
        a = act(a if bias is None else a + bias.unsqueeze(1))
        yield a


def of_parameters(units: Sequence[Float[Tensor, " _"]], like: Mapping[str, Tensor], rest: float) -> dict[str, Tensor]:
    """A value for each parameter from one for each hidden unit: the lesser of its units' values.

    Args:
        units: by hidden layer.
        like: parameters without a leading axis, for their shapes.
        rest: the value of parameters that belong to no hidden unit (the output bias).
    """
    result = {}
    for name, w in like.items():
        layer = int(name.split(".")[1])
        sides = [units[layer].reshape(-1, *[1] * (w.dim() - 1))] if layer < len(units) else []
        if layer > 0 and name.endswith("weight"):
            sides.append(units[layer - 1].reshape(1, -1))
        value = torch.full_like(w, rest)
        if sides:
            value = torch.minimum(sides[0], sides[-1]).expand_as(w).to(value)
        result[name] = value.clone()
    return result


def mask_of_units(kept: Sequence[Bool[Tensor, " _"]], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters all of whose hidden units are kept; those that belong to none are kept."""
    return {name: value > 0.5 for name, value in of_parameters([k.float() for k in kept], like, 1.0).items()}


def groups(like: Mapping[str, Tensor], widths: Sequence[int]) -> dict[str, Tensor]:
    """The number of the group that each parameter is in: one a hidden unit, layer after layer, and a last one for the rest.

    Args:
        like: parameters without a leading axis.
        widths: of the hidden layers.
    """
    first = [sum(widths[:layer]) for layer in range(len(widths))]
    result = {}
    for name, w in like.items():
        layer = int(name.split(".")[1])
        if layer < len(widths):  # the units that it feeds
            number = (first[layer] + torch.arange(w.shape[0])).reshape(-1, *[1] * (w.dim() - 1))
        elif name.endswith("weight"):  # the output layer: the units that it reads
            number = (first[-1] + torch.arange(w.shape[1])).reshape(1, -1)
        else:
            number = torch.tensor(sum(widths))
        result[name] = number.expand(w.shape).clone().to(w.device)
    return result


def most_informative(units: Sequence[Float[Tensor, " _"]], share: float) -> tuple[Bool[Tensor, " _"], ...]:
    """In each hidden layer the most informative share of its units, rounded, at least one; equals in their order."""
    result = []
    for values in units:
        chosen = torch.zeros(len(values), dtype=torch.bool, device=values.device)
        chosen[values.argsort(descending=True, stable=True)[: count(share, len(values))]] = True
        result.append(chosen)
    return tuple(result)
