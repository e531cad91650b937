"""What bounds a step: arithmetic, memory traffic or the launching of operators, each as measured on this machine.

A KKT step of an MLP with widths d₀ … d_L (d₀ the pixels D, or the rank r of the row space) and m candidates multiplies, with
p_l = 2·m·d_{l−1}·d_l floating-point operations for one product at layer l:

    forward, and what flows down, in the layers below the last                     2 Σ_{l ≤ L−1} p_l
    deltas and adjoints of the layers above the first                              2 Σ_{l ≥ 2} p_l
    residual, its product with the inputs, its product with the deltas             3 Σ p_l
    or, below the last layer and where it is less, by Gram matrices                2·(1 + c)·m²·(d_{l−1} + d_l) in place of 3 p_l

with c the share of a Gram matrix that is multiplied: 1, or (1 + 1/B)/2 in B × B blocks, of which those below the diagonal are copied
(`attacks.kkt.gradient`; a test compares with a count of the products). The box prior of a row-space run costs 4·r·D more for every
candidate whose pixels are looked at: all of them in a captured graph, those that may have reached the edge of the box elsewhere.
Elementwise work does not count as arithmetic here; it is in the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attacks.kkt.gradient import gram_blocks, gram_pays
from attacks.kkt.rounding import products
from bench.capture import captured

from .clock import seconds

SQUARE = {"cpu": 2048, "cuda": 8192}  # side of the matrices whose product gives the matmul rate


def step_flops(m: int, widths: Sequence[int]) -> int:
    """Floating-point operations of the matrix products of one KKT gradient on a CPU; formula above."""
    p = [2 * m * a * b for a, b in pairwise(widths)]
    last = len(p) - 1
    blocks = gram_blocks(m)
    grams = [m * m * (a + b) * (3 * blocks + 1) // blocks for a, b in pairwise(widths)]
    residuals = [grams[i] if i < last and gram_pays(m, b, a) else 3 * p[i] for i, (a, b) in enumerate(pairwise(widths))]
    return 2 * sum(p[:-1]) + 2 * sum(p[1:]) + sum(residuals)


@cache
def matmul_rate(dtype: torch.dtype, device: str = "cpu") -> float:
    """Operations a second of a large square matrix product, median of 5: what this machine can do at best (on a GPU with TF32)."""
    size = SQUARE[device]
    a = torch.randn(size, size, dtype=dtype, device=device)
    out = torch.empty_like(a)
    with products(torch.device(device)):
        times = [seconds(lambda: torch.mm(a, a, out=out)) for _ in range(6)][1:]
    return 2 * size**3 / float(np.median(times))


@cache
def launch_seconds(device: str = "cpu", count: int = 2000) -> float:
    """Seconds that an operator costs when it has nothing to do, launched from Python."""
    a = torch.zeros(8, device=device)

    def many() -> None:
        for _ in range(count):
            a.mul_(1.0)

    return float(np.median([seconds(many) for _ in range(4)][1:])) / count


def traffic_rate(nbytes: int, device: str = "cpu") -> float:
    """Bytes a second of an addition whose three operands take ``nbytes`` each: cache or main memory, as the size has it."""
    power = int(np.clip(round(np.log2(max(nbytes, 1))), 12, 26))
    return _traffic_rate(power, device)


@cache
def _traffic_rate(power: int, device: str) -> float:
    a = torch.zeros(2**power // 4, device=device)
    b, out = torch.ones_like(a), torch.empty_like(a)
    rounds = max(1, 2**24 // 2**power)

    def many() -> None:
        for _ in range(rounds):
            torch.add(a, b, out=out)

    return rounds * 3 * 2**power / float(np.median([seconds(many) for _ in range(4)][1:]))


@dataclass(frozen=True)
class Work:
    """What a piece of code asks of the machine."""

    flops: float  # of matrix products
    nbytes: float  # read and written by all operators
    operators: float

    def __sub__(self, other: Work) -> Work:
        return Work(self.flops - other.flops, self.nbytes - other.nbytes, self.operators - other.operators)

    def __truediv__(self, by: float) -> Work:
        return Work(self.flops / by, self.nbytes / by, self.operators / by)


class _Count(TorchDispatchMode):
    """Counts operators, the bytes of their tensors, and the operations of matrix products, in place or not (which PyTorch's own counter
    leaves out in place). Views and allocations move nothing and do not count."""

    PRODUCTS: ClassVar[dict[str, int]] = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}  # name → position of the left factor

    FREE: ClassVar[tuple[str, ...]] = (
        "view",
        "expand",
        "transpose",
        "t.default",
        "unsqueeze",
        "squeeze",
        "slice",
        "select",
        "detach",
        "empty",
        "alias",
        "permute",
    )

    def __init__(self) -> None:
        super().__init__()
        self.operators = self.nbytes = self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.name().removeprefix("aten::")
        if not name.lstrip("_").startswith(self.FREE):
            self.operators += 1
            given = {key: value for key, value in (kwargs or {}).items() if key != "out"}  # written once: it is the result
            tensors = [t for t in tree_leaves((args, given, result)) if isinstance(t, torch.Tensor)]
            self.nbytes += sum(t.numel() * t.element_size() for t in tensors)
        product = name.partition(".")[0].rstrip("_")
        if product in self.PRODUCTS:
            self.flops += 2 * result.numel() * args[self.PRODUCTS[product]].shape[-1]
        return result


def work(call: Callable[[], object]) -> Work:
    """Counts what one call asks for. Code that runs outside PyTorch's dispatcher (a captured graph) is not seen."""
    with _Count() as counted:
        call()
    return Work(counted.flops, counted.nbytes, counted.operators)


@dataclass(frozen=True)
class Floor:
    """The least seconds that each resource allows for a piece of work, and what it took."""

    what: str
    work: Work
    measured: float
    arithmetic: float
    traffic: float
    launches: float

    @property
    def share(self) -> float:
        """Share of the measured matmul rate that is reached."""
        return self.arithmetic / self.measured

    @property
    def asks(self) -> dict[str, float]:
        """Seconds that each resource asks for."""
        return {"arithmetic": self.arithmetic, "memory traffic": self.traffic, "launches of operators": self.launches}

    @property
    def bound(self) -> str:
        """The resource that asks for most, in words with its figure."""
        name = max(self.asks, key=lambda n: self.asks[n])
        return f"bound by {name}: {self.asks[name] * 1e3:.3g} of {self.measured * 1e3:.3g} ms; {self.share:.0%} of the measured matmul rate"


def floor(what: str, asked: Work, measured: float, dtype: torch.dtype, device: str = "cpu") -> Floor:
    """The floors of a piece of work on this machine. A captured graph is launched once, whatever it holds."""
    mean = int(asked.nbytes / max(asked.operators, 1) / 3)
    return Floor(
        what,
        asked,
        measured,
        asked.flops / matmul_rate(dtype, device),
        asked.nbytes / traffic_rate(mean, device),
        (1 if captured(torch.device(device)) else asked.operators) * launch_seconds(device),
    )
