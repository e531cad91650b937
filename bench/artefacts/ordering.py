"""In which order the layers of a state dict follow each other: by the numbers in their names, and by widths that fit together.

The order of a file is that of the layers only where nobody has sorted it: safetensors puts "10" before "2", and "hidden" before "input".
So an order has to be shown by what the layers are. Numbers that are in the names tell first, each among names that are alike before it;
words tell nothing. Of the orders that the numbers leave, those are possible in which each layer reads what the one before it gives. Where
several are left, the file's order counts if it is one of them and the file keeps one; else whoever asked must decide, or nobody can.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Bool
from torch import Tensor

from bench.errors import BenchError

MOST_LAYERS = 200
MOST_ORDERS = 120  # those of five layers alike, between which nothing tells
MOST_STEPS = 20_000  # of the search for them
CERTAIN = 0.05  # chance of a lead as large, were the two orders as good as each other
RIGHT = 0.9  # share of its training images that a network classifies correctly if it was read as it is meant

Order = tuple["Layer", ...]


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer as its file has it; ``weight`` is out × in, or out × in × k × k."""

    name: str  # what stands before .weight and .bias
    weight: Tensor
    bias: Tensor | None
    norm: Mapping[str, Tensor] | None = None  # of the batch normalisation behind it: weight, bias, running_mean, running_var


@dataclass(frozen=True)
class Arrangement:
    """The orders that are possible, and what is said of the one if there is one alone; without words somebody has to choose."""

    orders: tuple[Order, ...]
    words: str = ""
    not_by_number: BenchError | None = None  # why the layers do not fit together in the order of their numbers, if they do not


def arrange(layers: Sequence[Layer], kept: bool, shape: tuple[int, int, int] | None, path: str) -> Arrangement:
    """The orders in which the layers can follow each other.

    Args:
        layers: in the order of the file.
        kept: whether the file keeps the order in which its entries were written.
        shape: c, h, w of the input, where it is known.

    Raises:
        BenchError: the layers fit together in no order, or are none of a network that can be read.
    """
    if len(layers) > MOST_LAYERS:
        raise BenchError(f"{path} has too many layers", expected=f"at most {MOST_LAYERS}", got=str(len(layers)))
    by_number = _orders(layers, path, fit=False, most=1)[0]
    _check_each(by_number, path)
    possible = _orders(layers, path, shape=shape) or _orders(layers, path)
    not_by_number = None
    if not possible:
        not_by_number = _unfit(by_number, path)
        possible = _orders(layers, path, shape=shape, numbers=False)
        if not possible:
            raise not_by_number
    own = tuple(layers)
    if len(possible) == 1 and not_by_number is None:
        [order] = possible
        counted = all(_before(_parts(a.name), _parts(b.name)) for a, b in pairwise(order))
        _check_gaps(order, path)
        words = "in the order of their numbers" if counted else "in the only order in which their widths fit together"
        if kept:
            words += ", which is the order of the file" if order == own else f" (the file has them as {named(own)})"
        return Arrangement((order,), f"layers read {words}: {named(order)}")
    if kept and own in possible:
        if not_by_number is None:
            _check_gaps(own, path)
        words = "in the order of the file" + (", which their numbers contradict" if not_by_number is not None else "")
        return Arrangement((own,), f"layers read {words}: {named(own)}")
    return Arrangement(tuple(possible), not_by_number=not_by_number)


def clearly_best(right: Bool[Tensor, "k n"]) -> int | None:
    """Which of k orders classifies the n members clearly best; None: none does.

    It must classify ``RIGHT`` of them correctly, and against each other order its lead must be more than chance: a sign test over the
    members that one of the two gets right and the other wrong, Bonferroni's share of ``CERTAIN`` each.
    """
    from scipy.special import bdtrc

    best = int(right.sum(1).argmax())
    if float(right[best].double().mean()) < RIGHT:
        return None
    for other in range(len(right)):
        won, lost = int((right[best] & ~right[other]).sum()), int((right[other] & ~right[best]).sum())
        if other != best and (won <= lost or bdtrc(won - 1, won + lost, 0.5) > CERTAIN / (len(right) - 1)):
            return None
    return best


def undecided(arranged: Arrangement, path: str, tried: Bool[Tensor, "k n"] | None) -> BenchError:
    """The refusal where several orders are possible, or one that the numbers contradict.

    Args:
        tried: which members each order classifies correctly, where that was tried.
    """
    orders = arranged.orders
    shown = "; or ".join(named(order) for order in orders[:3])
    count = f"more than {MOST_ORDERS}" if len(orders) > MOST_ORDERS else str(len(orders))
    hint = "numbers in the names say it, as in layers.0.weight, layers.1.weight; "
    if tried is None:
        hint += "or --members with labels: the order that classifies them clearly best is taken"
    else:
        hint += f"of the members the best order classifies {float(tried.double().mean(1).max()):.0%} correctly, which does not tell: "
        hint += "is the mean or the activation another (--mean, --activation), or do more members help?"
    if arranged.not_by_number is not None:
        return BenchError(
            f"{path}: the layers do not fit together in the order of their numbers, and do in another",
            expected="numbers in the order in which the layers follow each other",
            got=shown,
            hint=hint,
        )
    return BenchError(
        f"{path}: its layers fit together in {count} orders, and nothing in the file tells which is right",
        expected="one order by the numbers in the names and the widths, or a file that keeps the order (torch.save does)",
        got=shown + ("; …" if len(orders) > 3 else ""),
        hint=hint,
    )


def named(layers: Sequence[Layer]) -> str:
    """The names, in that order."""
    names = [layer.name or "one without a name" for layer in layers]
    return ", ".join(names if len(names) <= 20 else [*names[:18], "…", names[-1]])


def _parts(name: str) -> list[str]:
    """Texts at even places, numbers at odd ones."""
    return re.split(r"([0-9]{1,9})", name)


def _before(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether numbers say that one layer comes before another: where the parts of their names first differ, both have a number."""
    for place, (x, y) in enumerate(zip(a, b, strict=False)):
        if place % 2 and int(x) != int(y):
            return int(x) < int(y)
        if not place % 2 and x != y:
            return False
    return False


def _follows(before: Layer, after: Layer) -> bool:
    """Whether a layer can read what another gives: as many channels or units; behind convolutions a matrix reads whole feature maps."""
    gives, reads = before.weight.shape[0], after.weight.shape[1]
    if before.weight.ndim == after.weight.ndim:
        return bool(gives == reads)
    return before.weight.ndim > after.weight.ndim and reads % gives == 0


def _orders(
    layers: Sequence[Layer],
    path: str,
    *,
    shape: tuple[int, int, int] | None = None,
    numbers: bool = True,
    fit: bool = True,
    most: int = MOST_ORDERS + 1,
) -> list[Order]:
    """Orders of all layers, at most ``most``; those nearest to the order given come first.

    Args:
        shape: c, h, w of what the first layer reads.
        numbers: no layer before one that its number comes behind.
        fit: each layer reads what the one before it gives, and the last is fully connected.

    Raises:
        BenchError: the search takes too long.
    """
    n = len(layers)
    parts = [_parts(layer.name) for layer in layers]
    earlier = [sum(1 << i for i in range(n) if numbers and _before(parts[i], parts[j])) for j in range(n)]  # as bits
    after = [[j for j in range(n) if j != i and (not fit or _follows(layers[i], layers[j]))] for i in range(n)]
    first = [i for i in range(n) if not fit or shape is None or _reads(layers[i], shape)]
    found: list[Order] = []
    way: list[int] = []
    done = 0
    choices = [iter(first)]
    for _ in range(MOST_STEPS):
        i = next((i for i in choices[-1] if not done >> i & 1 and not earlier[i] & ~done), None)
        if i is None:  # a dead end, or all has been tried from here: one step back
            choices.pop()
            if not choices:
                return found
            done ^= 1 << way.pop()
            continue
        way.append(i)
        done |= 1 << i
        choices.append(iter(after[i]))
        if len(way) == n and (not fit or layers[i].weight.ndim == 2):
            found.append(tuple(layers[j] for j in way))
            if len(found) == most:
                return found
    raise BenchError(
        f"{path}: its layers could follow each other in too many orders to try",
        expected="numbers in the names, as in layers.0.weight, layers.1.weight",
        got=named(layers),
        hint="save it again with numbers in the names",
    )


def _reads(layer: Layer, shape: tuple[int, int, int]) -> bool:
    return bool(layer.weight.shape[1] == (shape[0] if layer.weight.ndim == 4 else shape[0] * shape[1] * shape[2]))


def _check_each(layers: Order, path: str) -> None:
    """That each layer is a matrix or a convolution, with a bias that fits."""
    for i, layer in enumerate(layers):
        if layer.weight.ndim not in (2, 4):
            raise BenchError(
                f"{path}: layer {i} is neither fully connected nor a convolution",
                expected="a weight of shape out × in, or out × in × k × k",
                got=f"'{layer.name}' of shape {tuple(layer.weight.shape)}",
                hint="normalisation, and activations with weights of their own, are not supported: a network without them"
                if layer.weight.ndim == 1
                else "",
            )
        if layer.bias is not None and tuple(layer.bias.shape) != (layer.weight.shape[0],):
            raise BenchError(
                f"{path}: the bias of layer {i} does not fit its weight",
                expected=f"shape ({layer.weight.shape[0]},)",
                got=f"'{layer.name}' with a bias of shape {tuple(layer.bias.shape)} and a weight of shape {tuple(layer.weight.shape)}",
                hint="weights are outputs x inputs, as PyTorch has them; those of other libraries may be transposed: save weight.T",
            )
    if len(layers) < 2 or all(layer.weight.ndim == 4 for layer in layers):
        raise BenchError(
            f"{path}: no network with a hidden layer",
            expected="at least one hidden layer, the last layer fully connected",
            got=f"shapes {', '.join(str(tuple(layer.weight.shape)) for layer in layers)}",
        )


def _check_gaps(order: Order, path: str) -> None:
    """That places in a container have gaps everywhere, for the activations, or nowhere: a lone gap is a layer that is not here, or two
    layers without an activation between them."""
    steps: dict[str, list[tuple[int, int]]] = {}
    for a, b in pairwise(order):
        before, behind = re.fullmatch(r"((?:.*\.)?)([0-9]{1,9})", a.name), re.fullmatch(r"((?:.*\.)?)([0-9]{1,9})", b.name)
        if before and behind and before[1] == behind[1]:
            steps.setdefault(before[1], []).append((int(before[2]), int(behind[2])))
    for container, pairs in steps.items():
        gaps = [pair for pair in pairs if pair[1] - pair[0] > 1]
        if gaps and len(gaps) < len(pairs):
            raise BenchError(
                f"{path}: layer {gaps[0][0] + 1} has no weight",
                expected="numbers without a gap, or with one behind every layer, where its activation is",
                got=", ".join(f"{container}{number}" for number in [pairs[0][0], *(pair[1] for pair in pairs)]),
                hint="number the layers without a gap, activations not counted; two without an activation between them are not supported",
            )


def _unfit(order: Order, path: str) -> BenchError:
    """Why the layers fit together in no order: where the order of their numbers breaks."""
    shapes = f"shapes {', '.join(str(tuple(layer.weight.shape)) for layer in order)}"
    for i, (before, after) in enumerate(pairwise(order)):
        if after.weight.ndim > before.weight.ndim:
            return BenchError(
                f"{path}: layer {i + 1} is a convolution behind a fully connected layer",
                expected="convolutions first",
                got=f"{named(order)}; {shapes}",
                hint="nor do they in another order; a file must hold one network, its layers one behind the other",
            )
        if not _follows(before, after):
            gives = f"the {before.weight.shape[0]} numbers that layer {i}, '{before.name}', gives"
            turned = [Layer(layer.name, layer.weight.mT, None) for layer in order if layer.weight.ndim == 2]
            transposed = len(turned) == len(order) and bool(_orders(turned, path))
            return BenchError(
                f"{path}: layers {i} and {i + 1} do not fit together",
                expected=f"layer {i + 1}, '{after.name}', to read {gives}",
                got=f"one that reads {after.weight.shape[1]}",
                hint="they would if every weight were transposed: PyTorch has outputs x inputs, so save weight.T"
                if transposed
                else "nor do they in another order; a file must hold one network, its layers one behind the other",
            )
    return BenchError(
        f"{path}: no network with a hidden layer", expected="at least one hidden layer, the last layer fully connected", got=shapes
    )
