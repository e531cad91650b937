"""A checkpoint as weights and the architecture that they imply.

The authors' files (Haim et al. 2022 and Buzaglo et al. 2023, ``weights-….pth``) are ``{"epoch": …, "batch": …, "state_dict": …}`` with
``layers.N.weight`` (out × in) and ``layers.N.bias``. Other names will do as well: `ordering` finds out how the layers follow each other.
What a state dict does not say, which is activation, loss, input shape and pooling, is asked for or assumed, and every assumption is told.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from jaxtyping import Bool
from torch import Tensor

from bench.api import Activation, Architecture, Loss
from bench.artefacts.chains import ACTIVATIONS, DEEP, forms, module_of, variants
from bench.artefacts.normalisation import NORMALISATION, attached
from bench.artefacts.ordering import MOST_ORDERS, Arrangement, Layer, Order, arrange, clearly_best, named, undecided
from bench.artefacts.reading import Reading
from bench.artefacts.tensors import Sorted, dense, load
from bench.errors import BenchError, did_you_mean
from bench.targets.models import weight_shapes

NAMED = re.compile(r"^(?:(.+)\.)?(weight|bias|running_mean|running_var|num_batches_tracked)$")
WRAPPERS = ("state_dict", "model_state_dict", "model", "weights", "net")  # keys under which programs put the state dict
ORDERS = 6  # that are handed on where nothing but the members tells
KNOWN_SHAPES = {3072: (3, 32, 32), 784: (1, 28, 28)}  # CIFAR and MNIST
POOLINGS = ("stride", "max", "avg", "none")  # the first that fits is assumed

Classified = Callable[[Architecture, Mapping[str, Tensor]], Bool[Tensor, " n"]]  # which training images a network classifies correctly


class Told(NamedTuple):
    """What the caller knows of a network beside its file; None and empty texts where it is to be guessed."""

    shape: tuple[int, int, int] | None  # c, h, w of the input
    activation: str
    loss: str
    pooling: str


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
    classified: Classified | None = None,
) -> Checkpoint:
    """Reads a checkpoint and infers the order of its layers, widths, biases and number of outputs.

    Args:
        shape: c, h, w of the input; guessed from the width of the first layer where it is None.
        activation, loss, pooling: as in a setting; an empty text takes the default (relu; bce for one output, else ce; stride) and says so.
        classified: which training images a network classifies correctly; asked where nothing else tells the order of the layers.

    Raises:
        BenchError: the file cannot be read, or is not the state dict of an MLP or of a CNN with fully connected layers behind its
            convolutions; nothing tells the order of its layers; or the input's shape does not fit or cannot be guessed.
    """
    return _read(path, arrange(*_layers(path), shape, str(path)), Told(shape, activation, loss, pooling), classified)


def _read(path: Path | str, arranged: Arrangement, told: Told, classified: Classified | None) -> Checkpoint:
    """See `read_checkpoint`, of layers that have been read and arranged."""

    def read(order: Order, words: str) -> Checkpoint:
        return _network(path, order, told, [words])

    if arranged.words:
        return read(arranged.orders[0], arranged.words)
    fitting: dict[Order, Checkpoint] = {}
    for order in arranged.orders:
        with suppress(BenchError):  # one that its poolings, or the shape of the images, rule out
            fitting[order] = read(order, "")
    orders, complete = tuple(fitting), len(arranged.orders) <= MOST_ORDERS
    if not orders and arranged.not_by_number is not None:
        raise arranged.not_by_number
    if not orders or (len(orders) == 1 and complete and arranged.not_by_number is None):
        order = (orders or arranged.orders)[0]
        return read(order, f"layers read in the only order in which their widths fit together: {named(order)}")
    tried = None
    if classified is not None and complete:
        tried = torch.stack([classified(one.architecture, one.weights) for one in fitting.values()])
        best = clearly_best(tried)
        if best is not None:
            right = f"{int(tried[best].sum())} of {tried.shape[1]} members are classified correctly"
            return read(orders[best], f"layers read in the order in which {right}, which no other comes near: {named(orders[best])}")
    raise undecided(replace(arranged, orders=orders if complete else arranged.orders), str(path), tried)


def readings(
    path: Path | str,
    *,
    shape: tuple[int, int, int] | None = None,
    activation: str = "",
    loss: str = "",
    pooling: str = "",
    classified: Classified | None = None,
) -> list[Reading]:
    """Every way to read a checkpoint that fits, the usual ones first. Arguments as of `read_checkpoint`.

    Raises:
        BenchError: there is none.
    """
    layers, kept = _layers(path)
    arranged, told = arrange(layers, kept, shape, str(path)), Told(shape, activation, loss, pooling)
    found: list[Reading] = []
    refusal: BenchError | None = None
    if all(layer.norm is None for layer in layers):
        try:
            read = _read(path, arranged, told, classified)
        except BenchError as error:
            if all(layer.weight.ndim == 2 for layer in layers):
                raise
            refusal = error
        else:
            found = [Reading.ours(read.architecture, read.weights, read.notes, _choice_of(read.architecture))]
            ways = [read.architecture.pooling] if pooling or read.architecture.model == "mlp" else POOLINGS
            names = [activation] if activation else ["relu", *(name for name in ACTIVATIONS if name != "relu")]
            for way in ways:
                for name in names:
                    other = replace(read.architecture, pooling=way, activation=name)
                    if other != read.architecture and weight_names_fit(other, read.weights):
                        found.append(Reading.ours(other, read.weights, read.notes, _choice_of(other)))
    if all(layer.weight.ndim == 2 and layer.norm is None for layer in layers):
        return found
    try:
        return found + _chains(path, arranged, told, refusal)
    except BenchError:
        if found:
            return found
        raise


def weight_names_fit(architecture: Architecture, weights: Mapping[str, Tensor]) -> bool:
    """Whether the weights are those of such a network."""
    try:
        shapes = weight_shapes(architecture)
    except BenchError:  # images too small for so many poolings
        return False
    return all(tuple(weights[f"layers.{i}.weight"].shape) == shape for i, shape in enumerate(shapes))


def _choice_of(architecture: Architecture) -> str:
    words = f"{architecture.activation}"
    return words if architecture.model == "mlp" else f"padding ⌊k/2⌋, pooling {architecture.pooling}, {words}"


def _chains(path: Path | str, arranged: Arrangement, told: Told, refusal: BenchError | None) -> list[Reading]:
    """The readings that `Architecture` cannot say: other paddings and poolings, normalisation.

    Raises:
        BenchError: ``refusal`` where that is given and there are none.
    """
    shape, activation, loss, pooling = told
    notes: list[str] = []
    if activation:
        _choice("activation", activation, get_args(Activation), "relu", notes)
    if pooling:
        _choice("pooling", pooling, POOLINGS, "", notes)
    outputs = int(arranged.orders[0][-1].weight.shape[0])
    loss = _choice("loss", loss, get_args(Loss), "bce" if outputs == 1 else "ce", notes)
    first = arranged.orders[0][0].weight
    if shape is None and first.ndim == 4:
        shape = next((known for known in KNOWN_SHAPES.values() if known[0] == first.shape[1]), None)
        if shape is None:
            raise BenchError(
                f"the input shape of {path} is not known",
                expected="channels, height, width",
                got=f"{first.shape[1]} channels",
                hint="--shape 3x32x32",
            )
        notes.append(f"input shape assumed from {first.shape[1]} input channels: {'x'.join(map(str, shape))}")
    elif first.ndim == 2:
        shape = _shape(path, int(first.shape[1]), shape, notes)
    assert shape is not None
    found = []
    for order in arranged.orders[:ORDERS]:
        words = arranged.words or f"layers read in the order {named(order)}"
        normed = any(layer.norm is not None for layer in order)
        fitting = forms(order, shape, activation or "relu", pooling)
        names = [activation] if activation else list(ACTIVATIONS)
        kernels = [layer.weight for layer in order if layer.weight.ndim == 4]
        likely = fitting[:4] if len(kernels) <= DEEP else fitting[:1]
        wider = [*fitting, *(other for form in likely for other in variants(form, normed, names) if other not in fitting)]
        for form in wider:
            if not normed and refusal is None and form.ours(kernels):
                continue  # it has been read already
            own = [words, *notes] + (["normalisation: a batch normalisation's running statistics, ε 1e-5 assumed"] if normed else [])
            found.append(Reading.of_module(module_of(order, form, shape), shape, loss, tuple(own), form.words(), outputs=outputs))
    if not found:
        raise refusal or _no_chain(path, arranged.orders[0], shape)
    return found


def _no_chain(path: Path | str, order: Order, shape: tuple[int, int, int]) -> BenchError:
    matrix = next(layer.weight for layer in order if layer.weight.ndim == 2)
    return BenchError(
        f"{path}: its layers do not fit together over images of {'x'.join(map(str, shape))}, one behind the other",
        expected="a chain of convolutions, whatever their padding, stride and 2×2 pooling, and fully connected layers",
        got=f"{named(order)}; the first matrix reads {matrix.shape[1]} numbers",
        hint="--shape CxHxW; or where the layers are no chain: --model package.module:factory",
    )


def state_dict(path: Path | str) -> Mapping[str, object]:
    """The entries of a state dict, out of what programs put around it.

    Raises:
        BenchError: the file cannot be read, or holds none.
    """
    loaded = load(path)
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
    return loaded


def _layers(path: Path | str) -> tuple[list[Layer], bool]:
    """The layers of a state dict in the order of the file, and whether the file keeps the order in which they were written."""
    loaded = state_dict(path)
    names = [str(name) for name in loaded]
    entries: dict[str, dict[str, Tensor]] = {}
    bias_first = False
    for name, value in zip(names, loaded.values(), strict=True):
        match = NAMED.match(name)
        if match is None:
            raise BenchError(
                f"{path}: entry '{name}' is no weight or bias of a layer",
                expected="NAME.weight and NAME.bias of fully connected layers, maybe behind convolutions, batch normalisations, no more",
                got=", ".join(names[:6]) + (", …" if len(names) > 6 else ""),
                hint="save the state dict of the network alone: torch.save(model.state_dict(), FILE); "
                "or, of a network of your own making: --model package.module:factory",
            )
        if match[2] == "num_batches_tracked":
            entries.setdefault(match[1] or "", {})[match[2]] = torch.zeros(())
            continue
        tensor = dense(value, f"{path}: entry '{name}'")
        if not tensor.is_floating_point():
            raise BenchError(f"{path}: entry '{name}' holds no floating-point numbers", expected="weights", got=str(tensor.dtype))
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            raise BenchError(
                f"{path}: entry '{name}' holds NaN or infinity", expected="finite weights", got=f"{bad} of {tensor.numel()} numbers"
            )
        own = entries.setdefault(match[1] or "", {})
        bias_first |= match[2] == "weight" and "bias" in own
        own[match[2]] = tensor
    norms = {name: own for name, own in entries.items() if not NORMALISATION.isdisjoint(own)}
    entries = {name: own for name, own in entries.items() if name not in norms}
    places = list(dict.fromkeys(name.rpartition(".")[0] for name in names))  # of layers and normalisations
    for name, own in entries.items():
        if "weight" not in own:
            raise BenchError(
                f"{path}: layer {name.rpartition('.')[2] or 'without a name'} has no weight",
                expected=f"'{name}.weight' beside '{name}.bias'",
                got="weights of " + ", ".join(f"'{other}'" for other, its in entries.items() if "weight" in its),
                hint="save the state dict of the whole network: torch.save(model.state_dict(), FILE)",
            )
    dtype = torch.float64 if any(tensor.dtype == torch.float64 for own in entries.values() for tensor in own.values()) else torch.float32
    layers = [Layer(name, own["weight"].to(dtype), own["bias"].to(dtype) if "bias" in own else None) for name, own in entries.items()]
    resorted = bias_first and names == sorted(names)  # PyTorch puts a layer's weight first, the alphabet its bias
    kept = not isinstance(loaded, Sorted) and not resorted
    return (attached(layers, norms, places, kept, dtype, str(path)) if norms else layers), kept


def _network(path: Path | str, order: Order, told: Told, notes: list[str]) -> Checkpoint:
    """The network whose layers stand in that order, under our names; notes on what was assumed are added to those given."""
    shape, activation, loss, pooling = told
    weights: dict[str, Tensor] = {}
    for i, layer in enumerate(order):
        weights[f"layers.{i}.weight"] = layer.weight
        if layer.bias is not None:
            weights[f"layers.{i}.bias"] = layer.bias
    first, last = order[0].weight, order[-1].weight
    activation = _choice("activation", activation, get_args(Activation), "relu", notes)
    outputs = int(last.shape[0])
    loss = _choice("loss", loss, get_args(Loss), "bce" if outputs == 1 else "ce", notes)
    if loss == "bce" and outputs != 1:
        raise BenchError(f"loss bce needs one output, {path} has {outputs}", expected="ce, mse or huber", got="bce", hint="--loss ce")
    bias = _bias(weights, len(order), notes)
    if first.ndim == 4:
        architecture = _cnn(path, [layer.weight for layer in order], shape, activation, loss, bias, pooling, notes)
    else:
        if pooling:
            raise BenchError(
                f"{path} has no convolutions", expected="no --pooling for a fully connected network", got=f"--pooling {pooling}"
            )
        hidden = tuple(int(layer.weight.shape[0]) for layer in order[:-1])
        given = _shape(path, int(first.shape[1]), shape, notes)
        architecture = Architecture("mlp", given, hidden, outputs, activation, bias, loss)
    return Checkpoint(architecture, weights, tuple(notes))


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
    layers: list[Tensor],
    shape: tuple[int, int, int] | None,
    activation: str,
    loss: str,
    bias: str,
    pooling: str,
    notes: list[str],
) -> Architecture:
    """Channels and kernel from the convolutions; the way of pooling is the one whose maps have the size that the first matrix reads."""
    convolutions = [weight for weight in layers if weight.ndim == 4]
    matrices = [weight for weight in layers if weight.ndim == 2]
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
    own = [tuple(weight.shape) for weight in layers]
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
