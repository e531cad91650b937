"""Layers that stand one behind the other, as a module: what a state dict does not say is tried, in every way that fits its sizes.

A state dict has kernels and matrices, and of a batch normalisation the running statistics. It does not say padding, stride, where and how
maps are pooled, and the activation. Sizes rule most of it out: the first matrix behind the convolutions reads whole maps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from bench.artefacts.ordering import Layer, Order

FREE = 4  # convolutions up to which each may have a padding of its own
LONG = 13  # convolutions up to which each may be pooled or not
MOST_FORMS, OF_DEEP, DEEP = 256, 24, 6  # that are handed on; of a network of more convolutions than DEEP, which takes long to try
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


@dataclass(frozen=True)
class Form:
    """What a chain of layers leaves open."""

    padded: tuple[bool, ...] = ()  # each convolution: ⌊k/2⌋ in place of PyTorch's default, none
    stride: int = 1
    pooled: tuple[bool, ...] = ()  # 2 × 2 behind each convolution
    pooling: str = "max"  # or avg
    whole: bool = False  # the maps' mean goes on, a number a channel
    activation: str = "relu"
    late_norm: bool = False  # normalisation behind the activation
    channels_last: bool = False  # maps, or pixels, are flattened with their channel last

    def words(self) -> str:
        """In a few words, what there are no layers for left out."""
        parts = []
        if self.padded:
            how = "padded" if all(self.padded) else "no padding" if not any(self.padded) else "padding " + _each(self.padded)
            parts += [how, f"stride {self.stride}"]
            if any(self.pooled):
                parts.append(f"2×2 {self.pooling} pooling behind " + ("each" if all(self.pooled) else f"convolution {_each(self.pooled)}"))
            else:
                parts.append("no pooling")
            parts += ["mean over the maps"] if self.whole else []
        parts.append(self.activation)
        parts += ["normalisation behind the activation"] if self.late_norm else []
        parts += ["flattened with channels last"] if self.channels_last else []
        return ", ".join(parts)

    def oddity(self) -> tuple[int, ...]:
        """Sorts forms, the usual ones first."""
        regular = all(self.pooled) or not any(self.pooled) or (sum(self.pooled) == 1 and self.pooled[-1])
        return (
            self.channels_last,
            self.late_norm,
            len(set(self.padded)) > 1,
            self.stride > 1,
            not regular,
            self.whole,
            self.pooling != "max",
        )

    def ours(self, kernels: Sequence[torch.Tensor]) -> bool:
        """Whether `Architecture` can say it, of convolutions with such kernels."""
        alike = len({(*k.shape[2:],) for k in kernels}) <= 1 and all(k.shape[2] == k.shape[3] for k in kernels)
        regular = (all(self.pooled) and self.stride == 1) or not any(self.pooled)
        return alike and all(self.padded) and regular and not (self.whole or self.late_norm or self.channels_last)


def _each(flags: Sequence[bool]) -> str:
    return ", ".join(str(i + 1) for i, flag in enumerate(flags) if flag)


def forms(order: Order, shape: tuple[int, int, int], activation: str = "relu", pooling: str = "") -> list[Form]:
    """All forms in which the layers fit together over images of this shape, the usual ones first.

    Args:
        pooling: of the command line: ``max``, ``avg``, ``none``, ``stride``; empty: any.
    """
    kernels = [layer.weight for layer in order if layer.weight.ndim == 4]
    matrix = next(layer.weight for layer in order if layer.weight.ndim == 2)
    if not kernels:
        return [Form(activation=activation)]
    found = []
    n = len(kernels)
    padded = itertools.product((False, True), repeat=n) if n <= FREE else iter([(False,) * n, (True,) * n])
    for padding, stride in itertools.product(padded, (1, 2)):
        if pooling and (pooling == "stride") != (stride == 2):
            continue
        if all(int(k.shape[-1]) < 2 for k, flag in zip(kernels, padding, strict=True) if flag) and any(padding):
            continue  # a kernel of one pixel has no padding
        for where in _places(n):
            if pooling in ("none", "stride") and any(where):
                continue
            side = _side(kernels, shape, padding, stride, where)
            if side is None:
                continue
            plain, mean = int(matrix.shape[1]) == int(kernels[-1].shape[0]) * side[0] * side[1], int(matrix.shape[1]) == len(kernels[-1])
            for whole in ([False] if plain else []) + ([True] if mean and math.prod(side) > 1 else []):
                ways = ("max", "avg") if any(where) else ("max",)
                for way in ways:
                    if pooling not in ("max", "avg") or way == pooling:
                        found.append(Form(tuple(padding), stride, where, way, whole, activation))
    widths = [len(k) for k in kernels]
    widening = [i == n - 1 or widths[i] != widths[i + 1] for i in range(n)]  # where most networks pool

    def odd(form: Form) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
        there = sum(a != b for a, b in zip(form.pooled, widening, strict=True))
        return form.oddity()[:-2], there, form.oddity()[-2:]

    return sorted(found, key=odd)[: MOST_FORMS if n <= DEEP else OF_DEEP]


def _places(n: int) -> Iterator[tuple[bool, ...]]:
    if n <= LONG:
        yield from itertools.product((False, True), repeat=n)
    else:
        yield from ((True,) * n, (False,) * n, (*(False,) * (n - 1), True))


def _side(
    kernels: Sequence[torch.Tensor], shape: tuple[int, int, int], padded: Sequence[bool], stride: int, pooled: Sequence[bool]
) -> tuple[int, int] | None:
    """Height and width behind the last convolution; None where an image is used up before."""
    sides = [shape[1], shape[2]]
    for kernel, flag, pool in zip(kernels, padded, pooled, strict=True):
        for axis in (0, 1):
            k = int(kernel.shape[2 + axis])
            side = (sides[axis] + (2 * (k // 2) if flag else 0) - k) // stride + 1
            sides[axis] = side // 2 if pool else side
            if side < 1 or sides[axis] < 1:
                return None
    return sides[0], sides[1]


def variants(form: Form, normed: bool, activations: Sequence[str]) -> list[Form]:
    """Forms beside this one whose sizes are the same."""
    found = [replace(form, activation=name) for name in activations]
    if normed:
        found += [replace(one, late_norm=True) for one in found]
    return found


def module_of(order: Order, form: Form, shape: tuple[int, int, int]) -> nn.Sequential:
    """The layers as a module, whose numbers are those of the layers and not a copy."""
    parts: list[nn.Module] = []
    convolution, flat = 0, False
    last_convolution = max((i for i, layer in enumerate(order) if layer.weight.ndim == 4), default=-1)
    for i, layer in enumerate(order):
        weight = layer.weight
        if weight.ndim == 4:
            k = (int(weight.shape[2]), int(weight.shape[3]))
            padding = (k[0] // 2, k[1] // 2) if form.padded[convolution] else (0, 0)
            biased = layer.bias is not None
            one: nn.Module = nn.Conv2d(weight.shape[1], weight.shape[0], k, form.stride, padding, bias=biased, device="meta")
        else:
            if not flat:
                parts += [_ChannelsLast()] if form.channels_last else []
                parts.append(nn.Flatten())
                flat = True
            one = nn.Linear(weight.shape[1], weight.shape[0], bias=layer.bias is not None, device="meta")
        _share(one, {"weight": weight} | ({} if layer.bias is None else {"bias": layer.bias}))
        act = [] if i == len(order) - 1 else [ACTIVATIONS[form.activation]()]
        norm = [] if layer.norm is None else [_norm(layer)]
        parts += [one, *(act + norm if form.late_norm else norm + act)]
        if weight.ndim == 4:
            if form.pooled[convolution]:
                parts.append(nn.MaxPool2d(2) if form.pooling == "max" else nn.AvgPool2d(2))
            convolution += 1
            if i == last_convolution and form.whole:
                parts.append(nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*parts).eval()


def _norm(layer: Layer) -> nn.Module:
    assert layer.norm is not None
    kind = nn.BatchNorm2d if layer.weight.ndim == 4 else nn.BatchNorm1d
    one = kind(len(layer.weight), affine="weight" in layer.norm)
    _share(one, layer.norm)
    return one


def _share(module: nn.Module, numbers: Mapping[str, torch.Tensor]) -> None:
    for name, value in numbers.items():
        if name in module._parameters:
            module._parameters[name] = nn.Parameter(value.float(), requires_grad=False)
        else:
            module._buffers[name] = value.float()


class _ChannelsLast(nn.Module):
    """n × c × h × w → n × h × w × c."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.movedim(1, -1)
