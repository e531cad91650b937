"""The first dense layer of a network that reads features: its rows, and what the layers below it make of an image.

A network is a function of weights and images, whatever it is made of. So the layer is found by watching: of the matrix products with a
weight of the network in a forward pass, the first one that everything goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

LINEAR = frozenset({F.linear, torch.ops.aten.linear.default})  # out × in; in all other products the weight stands as in × out
PRODUCTS = LINEAR | frozenset(
    {
        torch.matmul, torch.mm, torch.addmm, Tensor.matmul, Tensor.mm, Tensor.__matmul__,
        torch.ops.aten.mm.default, torch.ops.aten.addmm.default, torch.ops.aten.matmul.default,
    }
)  # fmt: skip
ALIKE = 1e-6  # relative difference of outputs that are the same


@dataclass(frozen=True, eq=False)
class Below:
    """A dense layer and what is below it. Called with images less the mean, n × c × h × w, it gives their features, n × f."""

    forward: Callable[..., Tensor]
    weights: Mapping[str, Tensor]
    name: str  # of the layer's weight
    rows: Float[Tensor, "u f"]
    maps: tuple[int, int, int]  # channels, height and width that the features have as maps; 1 × 1 × f where they are none

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f"]:
        """Differentiable by the images; what is above the layer is not run."""
        watch = _Watch(self.weights, len(x), stop=self.name)
        try:
            with watch:
                self.forward(self.weights, x)
        except _ReachedError as reached:
            return reached.features
        raise AssertionError(f"{self.name} is read for some images and not for others")


def first_dense(forward: Callable[..., Tensor], weights: Mapping[str, Tensor], shape: tuple[int, int, int]) -> Below | None:
    """The layer; None where there is none that everything goes through, as where maps are averaged behind the last convolution.

    Args:
        forward: (weights, x) → outputs n × k, x less the mean image.
        shape: c, h, w of an image.
    """
    own = {name: w.detach().clone() for name, w in weights.items()}  # a weight is told by its memory, which views of others would share
    like = next(iter(own.values()))
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(2)).to(like) - 0.5
    watch = _Watch(own, len(x))
    with torch.no_grad(), watch:
        forward(own, x)
    for name, (rows, maps) in watch.found.items():
        with torch.no_grad():
            out = forward({**own, name: torch.zeros_like(own[name])}, x)
        if float((out - out[:1]).abs().max()) <= ALIKE * float(out.abs().max().clamp_min(1e-12)):
            return Below(forward, own, name, rows, maps)
    return None


def reader(forward: Callable[..., Tensor], weights: Mapping[str, Tensor], shape: tuple[int, int, int]) -> Below:
    """The same, where there must be one.

    Raises:
        ValueError: there is none.
    """
    found = first_dense(forward, weights, shape)
    if found is None:
        raise ValueError("no dense layer that everything goes through")
    return found


class _ReachedError(Exception):
    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features


class _Watch(TorchFunctionMode):
    """Inside, products of n rows with a weight are noted: the weight as u × f, and the form of the last maps that have f numbers.

    Args:
        stop: the weight at whose product `_ReachedError` is raised.
    """

    def __init__(self, weights: Mapping[str, Tensor], n: int, stop: str = "") -> None:
        super().__init__()
        self.names = {w.untyped_storage().data_ptr(): name for name, w in weights.items() if w.ndim == 2}
        self.n, self.stop = n, stop
        self.found: dict[str, tuple[Tensor, tuple[int, int, int]]] = {}
        self.last: dict[int, tuple[int, int, int]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in PRODUCTS:
            self._note(func, [value for value in (*args, *(kwargs or {}).values()) if isinstance(value, Tensor)])
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.ndim == 4 and len(out) == self.n:
            self.last[out[0].numel()] = (int(out.shape[1]), int(out.shape[2]), int(out.shape[3]))
        return out

    def _note(self, func: Any, tensors: list[Tensor]) -> None:
        for value in tensors:
            name = self.names.get(value.untyped_storage().data_ptr())
            if name is None or value.ndim != 2:
                continue
            rows = value if func in LINEAR else value.mT
            given = next((t for t in tensors if t is not value and t.ndim == 2 and t.shape == (self.n, rows.shape[1])), None)
            if given is None:
                continue
            if name == self.stop:
                raise _ReachedError(given)
            f = int(rows.shape[1])
            maps = self.last.get(f, (f, 1, 1))
            self.found.setdefault(name, (rows, (1, 1, f) if maps == (f, 1, 1) else maps))
