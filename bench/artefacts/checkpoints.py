"""A checkpoint as weights and the architecture that they imply.

The authors' files (Haim et al. 2022 and Buzaglo et al. 2023, ``weights-….pth``) are ``{"epoch": …, "batch": …, "state_dict": …}`` with
``layers.N.weight`` (out × in) and ``layers.N.bias``. Other names are taken in the order of the file, if the widths fit together. What a
state dict does not say, which is activation, loss, input shape and pooling, is asked for or assumed, and every assumption is told.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from bench.api import Activation, Architecture, Loss
from bench.artefacts.tensors import dense, load
from bench.errors import BenchError, did_you_mean
from bench.targets.models import weight_shapes

NUMBERED = re.compile(r"^(?:[\w.]+\.)?(?:layers|convnet)\.(\d{1,4})\.(weight|bias)$")  # "convnet" is another name in the authors' files
NAMED = re.compile(r"^(?:(.+)\.)?(weight|bias)$")
WRAPPERS = ("state_dict", "model_state_dict", "model", "weights", "net")  # keys under which programs put the state dict
KNOWN_SHAPES = {3072: (3, 32, 32), 784: (1, 28, 28)}  # CIFAR and MNIST
POOLINGS = ("stride", "max", "avg", "none")  # the first that fits is assumed


@dataclass(frozen=True)
class Checkpoint:
    """A network as released, and what was assumed on the way."""

    architecture: Architecture
    weights: dict[str, Tensor]  # layers.L.weight, layers.L.bias; float32 or float64
    notes: tuple[str, ...]


def read_checkpoint(
    path: Path | str,
    *,
    shape: tuple[int, int, int] | None = None,
    activation: str = "",
    loss: str = "",
    pooling: str = "",
) -> Checkpoint:
    """Reads a checkpoint and infers widths, biases and number of outputs.

    Args:
        shape: c, h, w of the input; guessed from the width of the first layer where it is None.
        activation, loss, pooling: as in a setting; an empty text takes the default (relu; bce for one output, else ce; stride) and says so.

    Raises:
        BenchError: the file cannot be read, or is not the state dict of an MLP or of a CNN with fully connected layers behind its
            convolutions; or the input's shape does not fit or cannot be guessed.
    """
    weights, notes = read_weights(path)
    layers = _layers(weights, str(path))
    first = layers[0][0]
    activation = _choice("activation", activation, get_args(Activation), "relu", notes)
    outputs = int(layers[-1][0].shape[0])
    loss = _choice("loss", loss, get_args(Loss), "bce" if outputs == 1 else "ce", notes)
    if loss == "bce" and outputs != 1:
        raise BenchError(f"loss bce needs one output, {path} has {outputs}", expected="ce, mse or huber", got="bce", hint="--loss ce")
    bias = _bias(weights, len(layers), notes)
    if first.ndim == 4:
        architecture = _cnn(path, layers, shape, activation, loss, bias, pooling, notes)
    else:
        if pooling:
            raise BenchError(
                f"{path} has no convolutions", expected="no --pooling for a fully connected network", got=f"--pooling {pooling}"
            )
        hidden = tuple(int(weight.shape[0]) for weight, _ in layers[:-1])
        given = _shape(path, int(first.shape[1]), shape, notes)
        architecture = Architecture("mlp", given, hidden, outputs, activation, bias, loss)
    return Checkpoint(architecture, weights, tuple(notes))


def read_weights(path: Path | str) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict under our names, ``layers.L.weight`` and ``layers.L.bias``, L from 0 without gaps; and notes on what was assumed.

    Raises:
        BenchError: as `read_checkpoint`.
    """
    loaded, notes = load(path), []
    for _ in range(3):
        inner = (
            next((loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), None) if isinstance(loaded, Mapping) else None
        )
        loaded = loaded if inner is None else inner
    if not isinstance(loaded, Mapping) or not loaded:
        raise BenchError(
            f"{path} is no checkpoint",
            expected="a state dict: names of weights and their tensors",
            got=f"{'an empty' if isinstance(loaded, Mapping) else 'a'} {type(loaded).__name__}",
            hint="torch.save(model.state_dict(), FILE)",
        )
    names = [str(name) for name in loaded]
    numbered = [NUMBERED.match(name) for name in names]
    found: dict[tuple[int, str], Tensor] = {}
    order: dict[str, int] = {}
    for name, match, value in zip(names, numbered, loaded.values(), strict=True):
        if all(numbered):
            assert match is not None
            key = (int(match[1]), match[2])
        else:
            named = NAMED.match(name)
            if named is None:
                raise BenchError(
                    f"{path}: entry '{name}' is no weight or bias of a layer",
                    expected="NAME.weight and NAME.bias of fully connected layers, in their order, maybe behind convolutions",
                    got=", ".join(names[:6]) + (", …" if len(names) > 6 else ""),
                    hint="normalisation layers and other architectures are not supported; save the state dict alone",
                )
            key = (order.setdefault(named[1] or "", len(order)), named[2])
        if key in found:
            raise BenchError(f"{path}: two entries are layer {key[0]}'s {key[1]}", expected="each layer once", got=name)
        tensor = dense(value, f"{path}: entry '{name}'")
        if not tensor.is_floating_point():
            raise BenchError(f"{path}: entry '{name}' holds no floating-point numbers", expected="weights", got=str(tensor.dtype))
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            raise BenchError(
                f"{path}: entry '{name}' holds NaN or infinity", expected="finite weights", got=f"{bad} of {tensor.numel()} numbers"
            )
        found[key] = tensor
    if order:
        notes.append(f"layers taken in the order of the file: {', '.join(order) or 'one without a name'}")
    last = max(layer for layer, _ in found)
    missing = [layer for layer in range(last + 1) if (layer, "weight") not in found]
    if missing:
        raise BenchError(
            f"{path}: layer {missing[0]} has no weight",
            expected=f"layers.0.weight to layers.{last}.weight without a gap",
            got="weights of layers " + ", ".join(str(layer) for layer, kind in sorted(found) if kind == "weight"),
            hint="number the layers without a gap, activations not counted",
        )
    dtype = torch.float64 if any(tensor.dtype == torch.float64 for tensor in found.values()) else torch.float32
    return {
        f"layers.{layer}.{kind}": found[layer, kind].to(dtype) for layer, kind in sorted(found, key=lambda k: (k[0], k[1] != "weight"))
    }, notes


def _layers(weights: Mapping[str, Tensor], path: str) -> list[tuple[Tensor, Tensor | None]]:
    """Weight and bias of each layer, their shapes checked: convolutions first, then matrices whose widths follow each other."""
    layers = []
    for layer in range(sum(name.endswith("weight") for name in weights)):
        weight, bias = weights[f"layers.{layer}.weight"], weights.get(f"layers.{layer}.bias")
        if weight.ndim not in (2, 4):
            raise BenchError(
                f"{path}: layer {layer} is neither fully connected nor a convolution",
                expected="a weight of shape out × in, or out × in × k × k",
                got=f"shape {tuple(weight.shape)}",
            )
        if bias is not None and tuple(bias.shape) != (weight.shape[0],):
            raise BenchError(
                f"{path}: the bias of layer {layer} does not fit its weight",
                expected=f"shape ({weight.shape[0]},)",
                got=str(tuple(bias.shape)),
                hint="weights are outputs x inputs, as PyTorch has them; those of other libraries may be transposed",
            )
        layers.append((weight, bias))
    for i, ((before, _), (after, _)) in enumerate(pairwise(layers)):
        if after.ndim > before.ndim:
            raise BenchError(f"{path}: layer {i + 1} is a convolution behind a fully connected layer", expected="convolutions first")
        if after.ndim == before.ndim and after.shape[1] != before.shape[0]:
            raise BenchError(
                f"{path}: layers {i} and {i + 1} do not fit together",
                expected=f"layer {i + 1} to read the {before.shape[0]} numbers that layer {i} gives",
                got=f"one that reads {after.shape[1]}",
                hint="entries must stand in the order of the layers, and weights be outputs x inputs",
            )
    if len(layers) < 2 or layers[-1][0].ndim != 2:
        raise BenchError(f"{path}: no network with a hidden layer", expected="at least one hidden layer, the last layer fully connected",
                         got=f"shapes {', '.join(str(tuple(w.shape)) for w, _ in layers)}")  # fmt: skip
    return layers


def _bias(weights: Mapping[str, Tensor], depth: int, notes: list[str]) -> str:
    """``first``, ``none`` or ``all``; any other pattern counts as ``all``, for neither is homogeneous."""
    have = [layer for layer in range(depth) if f"layers.{layer}.bias" in weights]
    if have in ([], [0]):
        return "first" if have else "none"
    if len(have) < depth:
        notes.append(f"layers {', '.join(map(str, have))} of {depth} have a bias: the network is not homogeneous, as if all had one")
    return "all"


def _choice(name: str, given: str, known: tuple[str, ...], default: str, notes: list[str]) -> str:
    if given and given not in known:
        raise BenchError(f"unknown {name} '{given}'.{did_you_mean(given, known)}", expected="one of " + ", ".join(known), got=repr(given))
    if not given:
        notes.append(f"{name} assumed: {default} (a checkpoint does not say; --{name} to choose)")
    return given or default


def _shape(path: Path | str, width: int, given: tuple[int, int, int] | None, notes: list[str]) -> tuple[int, int, int]:
    if given is None:
        given = KNOWN_SHAPES.get(width)
        if given is None:
            raise BenchError(
                f"the input shape of {path} is not known", expected="channels, height, width", got=f"{width} inputs", hint="--shape 1x28x28"
            )
        notes.append(f"input shape assumed from {width} inputs: {'x'.join(map(str, given))}")
    if math.prod(given) != width:
        raise BenchError(
            f"the first layer of {path} does not fit images of {'x'.join(map(str, given))}",
            expected=f"{width} numbers an image",
            got=str(math.prod(given)),
        )
    return given


def _cnn(
    path: Path | str,
    layers: list[tuple[Tensor, Tensor | None]],
    shape: tuple[int, int, int] | None,
    activation: str,
    loss: str,
    bias: str,
    pooling: str,
    notes: list[str],
) -> Architecture:
    """Channels and kernel from the convolutions; the way of pooling is the one whose maps have the size that the first matrix reads."""
    convolutions = [weight for weight, _ in layers if weight.ndim == 4]
    matrices = [weight for weight, _ in layers if weight.ndim == 2]
    sides = {int(side) for weight in convolutions for side in weight.shape[2:]}
    if len(sides) != 1:
        raise BenchError(f"{path}: kernels of different sides", expected="square kernels, all alike", got=f"sides {sorted(sides)}")
    inputs = int(convolutions[0].shape[1])
    if shape is None:
        shape = next((known for known in KNOWN_SHAPES.values() if known[0] == inputs), None)
        if shape is None:
            raise BenchError(
                f"the input shape of {path} is not known",
                expected="channels, height, width",
                got=f"{inputs} channels",
                hint="--shape 3x32x32",
            )
        notes.append(f"input shape assumed from {inputs} input channels: {'x'.join(map(str, shape))}")
    if pooling:
        _choice("pooling", pooling, POOLINGS, "", notes)
    own = [tuple(weight.shape) for weight, _ in layers]
    base = Architecture(
        "cnn",
        shape,
        tuple(int(weight.shape[0]) for weight in matrices[:-1]),
        int(matrices[-1].shape[0]),
        activation,
        bias,
        loss,
        tuple(int(weight.shape[0]) for weight in convolutions),
        sides.pop(),
    )
    fitting = []
    for way in (pooling,) if pooling else POOLINGS:
        architecture = replace(base, pooling=way)
        with suppress(BenchError):  # images too small for so many poolings: that way does not fit
            if weight_shapes(architecture) == own:
                fitting.append(architecture)
    if not fitting:
        raise BenchError(
            f"{path}: the convolutions do not fit what lies behind them",
            expected=f"a matrix behind the maps of a {'x'.join(map(str, shape))} image, pooling {pooling or ', '.join(POOLINGS)}",
            got=f"a matrix that reads {matrices[0].shape[1]} numbers",
            hint="--shape CxHxW and --pooling",
        )
    if not pooling:
        others = f"; {', '.join(a.pooling for a in fitting[1:])} would fit as well" if len(fitting) > 1 else ""
        notes.append(f"pooling assumed: {fitting[0].pooling}{others} (--pooling to choose)")
    return fitting[0]
