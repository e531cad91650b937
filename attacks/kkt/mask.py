"""Weights on the stationarity residual: which parameters an attack listens to.

    L_KKT = ‖M ∘ (θ − (1/m) Σᵢ λᵢ ∇θ gᵢ)‖²,   M = rows · columnsᵀ in each layer's weight, and rows in its bias.

A hidden unit j that is to be left out has weight 0 in row j of its own layer and in column j of the next. Row weights of the first layer
commute with its row space (both sides of the residual are multiplied by the same basis from the right); column weights do not.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

# layer → (row weights … × out, column weights … × in), all ≥ 0; None: all 1
Mask = Mapping[int, tuple[Float[Tensor, "..."] | None, Float[Tensor, "..."] | None]]


def weighted(residual: Tensor, mask: Mask | None, layer: int, *, bias: bool = False, squared: bool = False) -> Tensor:
    """M ∘ residual of one layer, or M² ∘ residual, which is what its gradient flows from. The residual itself where nothing weighs it.

    Args:
        residual: … × out × in, as a layer's weight; with ``bias`` … × 1 × out.
    """
    rows, columns = (mask or {}).get(layer, (None, None))
    across = None if bias or columns is None else columns.unsqueeze(-2)
    for factor in (None if rows is None else rows.unsqueeze(-2 if bias else -1), across):
        if factor is not None:
            residual = residual * (factor.square() if squared else factor)
    return residual


def parameter_weights(mask: Mask | None, name: str, like: Tensor, layers: Mapping[str, int]) -> Tensor | None:
    """M for one named parameter of any network, to be broadcast: rows along its first dimension, columns along its second.

    Leading dimensions of runs are those of the mask, and the parameter has as many.

    Args:
        layers: the index of each layer by the part of the parameters' names before ``.weight`` and ``.bias``.
    """
    layer, _, part = name.rpartition(".")
    rows, columns = (mask or {}).get(layers.get(layer, -1), (None, None))
    factor = None if rows is None else rows.reshape(*rows.shape, *[1] * (like.dim() - rows.dim()))
    if columns is not None and part == "weight":
        across = columns.unsqueeze(-2)
        across = across.reshape(*across.shape, *[1] * (like.dim() - across.dim()))
        factor = across if factor is None else factor * across
    return factor


def layer_indices(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """``layers.L`` → L for an MLP; for any other network its layers in the order of its weights, counted from 0."""
    layers = [name.removesuffix(".weight") for name in weights if name.endswith(".weight")]
    numbers = [name.removeprefix("layers.") for name in layers]
    if all(number.isdigit() for number in numbers):  # a file may hold them in another order
        return {name: int(number) for name, number in zip(layers, numbers, strict=True)}
    return {name: i for i, name in enumerate(layers)}


def one_run(mask: Mask | None, run: int) -> Mask | None:
    """The mask of one run of a stack."""
    return mask and {k: (None if r is None else r[run], None if c is None else c[run]) for k, (r, c) in mask.items()}


def checked(mask: Mask | None, weights: Mapping[str, Tensor], *, reduced: bool) -> Mask | None:
    """The mask, if it fits the network.

    Args:
        weights: as released.
        reduced: whether candidates are sought in the row space of the first layer.

    Raises:
        ValueError: a layer that is not there, a shape that does not fit, a weight that is negative or not finite, or column weights of
            the first layer together with its row space.
    """
    if mask is None:
        return None
    shapes = {i: weights[f"{name}.weight"].shape for name, i in layer_indices(weights).items()}
    for layer, (rows, columns) in mask.items():
        if layer not in shapes:
            raise ValueError(f"mask: layer {layer} of a network with layers 0 to {len(shapes) - 1}")
        for what, values, size in (("row", rows, shapes[layer][0]), ("column", columns, shapes[layer][1])):
            if values is None:
                continue
            if tuple(values.shape) != (size,):
                raise ValueError(f"mask: layer {layer} has {size} {what}s, the {what} weights are of shape {tuple(values.shape)}")
            if not bool(((values >= 0) & torch.isfinite(values)).all()):
                raise ValueError(f"mask: the {what} weights of layer {layer} must be finite and not negative")
    if reduced and 0 in mask and mask[0][1] is not None:
        raise ValueError("mask: column weights of the first layer do not go with its row space; try subspace=none")
    return mask
