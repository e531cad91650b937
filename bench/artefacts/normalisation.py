"""Which layer each batch normalisation of a state dict belongs to: the one before it, by the file's order or the numbers in the names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bench.artefacts.ordering import Layer
from bench.errors import BenchError

NORMALISATION = frozenset({"running_mean", "running_var", "num_batches_tracked"})
STATISTICS = frozenset({"running_mean", "running_var"})


def attached(
    layers: Sequence[Layer], norms: Mapping[str, Mapping[str, Tensor]], places: Sequence[str], kept: bool, dtype: torch.dtype, path: str
) -> list[Layer]:
    """The layers, each with the normalisation behind it.

    Args:
        places: names of layers and normalisations in the order of the file.
        kept: whether the file keeps the order in which they were written.

    Raises:
        BenchError: a normalisation that is incomplete, or that belongs to no layer, or perhaps to several.
    """
    owners: dict[str, str] = {}
    by_name = {layer.name: layer for layer in layers}
    norms = {name: {key: value for key, value in own.items() if key != "num_batches_tracked"} for name, own in norms.items()}
    for name, own in norms.items():
        width = len(own["running_mean"]) if "running_mean" in own else -1
        if not set(own) >= STATISTICS or any(value.shape != (width,) for value in own.values()):
            raise BenchError(
                f"{path}: the normalisation '{name}' is incomplete",
                expected="running_mean and running_var of one length, maybe weight and bias",
                got=", ".join(f"{key} {tuple(value.shape)}" for key, value in own.items()),
                hint="save the state dict of the whole network: torch.save(model.state_dict(), FILE)",
            )
        fitting = [layer.name for layer in layers if len(layer.weight) == width and layer.name not in owners]
        owner = (_before(name, fitting, places) if kept else None) or _by_numbers(name, fitting)
        if owner is None:
            raise BenchError(
                f"{path}: which layer the normalisation '{name}' belongs to is not known",
                expected="one behind a layer of as many units or channels, by the order of the file or the numbers in the names",
                got=f"layers {', '.join(fitting) or 'none'} of width {width}",
                hint="--model package.module:factory, with your own class",
            )
        owners[owner] = name
    return [
        replace(by_name[layer.name], norm={key: value.to(dtype) for key, value in norms[owners[layer.name]].items()})
        if layer.name in owners
        else layer
        for layer in layers
    ]


def _before(name: str, fitting: Sequence[str], places: Sequence[str]) -> str | None:
    """The layer right before it in the file, where that is one that fits."""
    i = places.index(name)
    return places[i - 1] if i and places[i - 1] in fitting else None


def _by_numbers(name: str, fitting: Sequence[str]) -> str | None:
    """The only one that fits; or the one whose numbers are its own (conv2, bn2), or the next lower ones in one container (0, 1)."""
    if len(fitting) == 1:
        return fitting[0]
    own = _numbers(name)
    same = [other for other in fitting if own and _numbers(other) == own]
    if len(same) == 1:
        return same[0]
    container = name.rpartition(".")[0]
    lower = [other for other in fitting if other.rpartition(".")[0] == container and own and _numbers(other) < own]
    return max(lower, key=_numbers) if lower else None


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"[0-9]{1,9}", name))
