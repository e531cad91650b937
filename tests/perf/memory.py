"""Memory that one more run in a stack costs: what the planner counts with, and what a process is seen to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from attacks.haim_kkt import HaimKKT

from .child import call, peak_bytes
from .clock import Samples
from .line import Check, Line, Part
from .problem import release, solver


@dataclass(frozen=True)
class Size:
    """Of the network, and the two stacks whose peaks are compared."""

    hidden: tuple[int, ...] = (1000, 1000)
    n_train: int = 100
    few: int = 2
    many: int = 10


FULL = Size()
QUICK = Size(hidden=(200, 200), n_train=50, few=2, many=10)
TOY = Size(hidden=(20, 20), n_train=10, few=1, many=3)


def run(size: Size) -> Part:
    """Two stated figures: a run in the row space, and one in all pixels."""
    lines = []
    for subspace in (size.n_train, "none"):
        shape = {"hidden": list(size.hidden), "n_train": size.n_train, "subspace": subspace}
        peaks = [call("memory", "peak", runs=runs, **shape).answer for runs in (size.few, size.many)]
        seen = max(0.0, (peaks[1] - peaks[0]) / (size.many - size.few))
        rank = size.n_train if isinstance(subspace, int) else None
        said = HaimKKT(subspace=subspace).memory(release(size.hidden, size.n_train, rank=size.n_train, dtype=torch.float32))
        where = f"row space {rank}" if rank else "all pixels"
        lines.append(
            Line(
                f"memory-{'rows' if rank else 'pixels'}",
                f"memory of one more run in a stack, m={2 * size.n_train}, 3072-{'-'.join(map(str, size.hidden))}-1, {where}, float32",
                Samples((seen,), "run"),
                unit="B",
                checks=(Check("MiB above what the stack is planned with", max(0.0, seen - said) / 2**20, 8.0),),
                note=f"peak resident memory of {size.many} runs less that of {size.few}, by run; planned with: {said / 2**20:.1f} MiB",
            )
        )
    return Part(tuple(lines))


def peak(runs: int, hidden: Sequence[int], n_train: int, subspace: str | int, device: str = "cpu") -> float:
    """Peak bytes of a stack of so many runs; for a process of its own."""
    victim = release(hidden, n_train, rank=n_train, device=device, dtype=torch.float32)
    solver(lambda steps: [HaimKKT(steps=steps, subspace=subspace)] * runs, [victim] * runs)(3)
    return float(torch.cuda.max_memory_allocated() if device == "cuda" else peak_bytes())
