"""How the factors of float32 products are rounded: said, pinned and measured here, for training, attacks and scoring alike.

On a GPU cuDNN rounds the factors of convolutions to TF32 (11 bits) unless it is told otherwise, and ``TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1``
has matrix products begin so too. PyTorch keeps two sets of switches: ``set_float32_matmul_precision`` with ``allow_tf32``, and since 2.9
``fp32_precision``, one an operator. Reading the older ones raises where the newer were used alone, and an operator's newer switch may
follow a general one. So all of them are set together here, which leaves both sets in agreement, and set back as they were. (Setting undoes
what the environment asked, in the versions tried; `check` measures it, on the GPU at hand.)

With them go cuDNN's two ways to differ from run to run: algorithms that add in any order, and a choice of algorithm by a race.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeVar

import torch

from bench.errors import BenchError

T = TypeVar("T")

Rounding = Literal["ieee", "tf32", "bf16"]  # of the factors: not at all, to 11 bits, to 8 bits; sums are float32 always
COARSER: tuple[Rounding, ...] = ("ieee", "tf32", "bf16")
OLDER = {"ieee": "highest", "tf32": "high", "bf16": "medium"}
OPERATORS = (("cuda", "matmul"), ("cudnn", "conv"), ("cudnn", "rnn"), ("mkldnn", "matmul"), ("mkldnn", "conv"), ("mkldnn", "rnn"))
OVERRIDES = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")  # environment; the first is NVIDIA's libraries' own
SIDE = 256  # of the matrices that are multiplied to measure: large enough for tensor cores


class Switches(NamedTuple):
    """PyTorch's settings of the precision and determinism of products."""

    matmul: str | None  # the older set; None where it contradicts the newer one and cannot be read
    convolutions: bool | None
    newer: tuple[str, ...]  # in the order of OPERATORS; empty before PyTorch 2.9
    deterministic: bool
    benchmark: bool

    @classmethod
    def now(cls) -> Switches:
        """As they are."""
        matmul, convolutions = _older(torch.get_float32_matmul_precision), _older(lambda: torch.backends.cudnn.allow_tf32)
        newer = tuple(switch.fp32_precision for switch in _switches())
        return cls(matmul, convolutions, newer, torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)

    def restore(self) -> None:
        """Makes it so again; touches only what has changed. Where the two sets contradicted each other the newer one counts."""
        if self == Switches.now():
            return
        matmul, convolutions, switches = self.matmul, self.convolutions, _switches()
        if matmul is None:
            matmul = "medium" if self.newer[3] == "bf16" else "high" if self.newer[0] == "tf32" else "highest"
        torch.set_float32_matmul_precision(matmul)  # sets the newer ones of products as well, so they come after it
        torch.backends.cudnn.allow_tf32 = self.newer[1] == "tf32" if convolutions is None else convolutions
        general = (torch.backends.cudnn, torch.backends.mkldnn)  # a switch that says the same may just have followed them
        for (room, _), switch, value in zip(OPERATORS, switches, self.newer, strict=False):
            switch.fp32_precision = "none" if value == general[room == "mkldnn"].fp32_precision else value  # type: ignore[attr-defined]
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = self.deterministic, self.benchmark


class Watch:
    """What was in force, on a device, since the watch began."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seen: set[Rounding] = set()

    @property
    def coarsest(self) -> Rounding | None:
        """The coarsest rounding that was allowed inside a pin meanwhile; None where there was no pin."""
        return max(self.seen, key=COARSER.index, default=None)


_watches: list[Watch] = []


@contextmanager
def watched(device: torch.device) -> Iterator[Watch]:
    """Takes note of what is pinned inside, and of what code inside has set by itself when its pin ends."""
    watch = Watch(device)
    _watches.append(watch)
    try:
        yield watch
    finally:
        _watches.remove(watch)


@contextmanager
def pinned(rounding: Rounding = "ieee") -> Iterator[None]:
    """Inside, the factors of float32 products are rounded so at most, and convolutions are deterministic; afterwards all is as before.

    Args:
        rounding: "tf32": of products and convolutions on a GPU. "bf16": of products on a CPU that has units for it (AMX, AVX-512 BF16).
    """
    before = Switches.now()
    coarse = rounding == "tf32"
    newer = (rounding if coarse else "ieee", *["tf32" if coarse else "ieee"] * 2, rounding, "ieee", "ieee")[: 6 * bool(before.newer)]
    try:
        # of the newer ones none is left to follow a general switch
        Switches(OLDER[rounding], coarse, newer, deterministic=True, benchmark=False).restore()
        _note()
        yield
    finally:
        _note()
        before.restore()


def in_force(device: torch.device, *operators: str) -> Rounding:
    """The coarsest rounding that the settings allow on a device at present, for float32.

    Args:
        operators: of "matmul" and "conv"; both, if none is named.
    """
    rooms, asked = ("cuda", "cudnn") if device.type == "cuda" else ("mkldnn",), operators or ("matmul", "conv")
    places = [i for i, (room, operator) in enumerate(OPERATORS) if room in rooms and operator in asked]
    switches = _switches()
    found = [switches[i].fp32_precision for i in places] if switches else [_as_newer(Switches.now())[i] for i in places]
    return next((rounding for rounding in reversed(COARSER) if rounding in found), "ieee")


def measured(device: torch.device) -> Rounding:
    """What products and convolutions there really do to their factors under the present settings; reads numbers back."""
    worst: Rounding = "ieee"
    eye = torch.eye(SIDE, device=device)
    for bits, lost in ((12, "tf32"), (9, "bf16")):  # 1 + 2⁻¹² needs more than TF32's bits, 1 + 2⁻⁹ more than bfloat16's
        number = 1 + 2.0**-bits
        x = torch.full((SIDE, SIDE), number, device=device)
        kernel = torch.nn.functional.pad(eye[:64, :64, None, None], (1, 1, 1, 1))
        images = torch.nn.functional.conv2d(x.view(1, 64, 32, 32), kernel, padding=1)
        for product in (x @ eye, images):
            if float((product - number).abs().max()) > 2.0 ** -(bits + 2):
                worst = "bf16" if lost == "bf16" else "tf32"
    return worst


def check(device: torch.device) -> None:
    """Before work on a GPU: whether a pin holds there. Asks cuBLAS for results that do not change from run to run, if nobody has.

    Raises:
        BenchError: products are rounded all the same.
    """
    if device.type != "cuda":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when its first handle is made
    with pinned():
        found = measured(device)
    if found != "ieee":
        named = [f"{name}={os.environ[name]}" for name in OVERRIDES if name in os.environ]
        raise BenchError(
            "this GPU rounds the factors of float32 products, whatever PyTorch's settings say",
            expected="full float32 in training and scoring",
            got=", ".join([found, *named]),
            hint=f"unset {' '.join(OVERRIDES)}; or --device cpu",
        )


@functools.cache
def _switches() -> tuple[Any, ...]:
    """The newer switches, in the order of OPERATORS; none before PyTorch 2.9."""
    found = [getattr(getattr(torch.backends, room), operator, None) for room, operator in OPERATORS]
    return tuple(found) if all(hasattr(switch, "fp32_precision") for switch in found) else ()


def _older(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except RuntimeError:  # the newer ones were used alone
        return None


def _as_newer(older: Switches) -> tuple[str, ...]:
    """What the older switches mean, in the order of OPERATORS."""
    products, convolutions = older.matmul or "highest", "tf32" if older.convolutions else "ieee"
    gpu = "ieee" if products == "highest" else "tf32"
    return gpu, convolutions, convolutions, "bf16" if products == "medium" else "ieee", "ieee", "ieee"


def note(rounding: Rounding) -> None:
    """Tells all watches what was in force elsewhere, in a process that worked for this one."""
    for watch in _watches:
        watch.seen.add(rounding)


def _note() -> None:
    for watch in _watches:
        watch.seen.add(in_force(watch.device))
