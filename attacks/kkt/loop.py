"""Repeats a step: a Python loop on a CPU, replays of one captured CUDA graph on a GPU.

An attack step launches some forty small kernels; from Python each launch costs about as much as the kernel itself. Captured once, the whole
step is one launch. This is the only place that knows: a step must work in place on tensors that exist beforehand and read nothing back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

WARM_UP = 3  # steps before a capture, on a side stream, so that libraries have made their handles and workspaces


def captured(device: torch.device) -> bool:
    """Whether steps there are replayed from a graph, and so must not look at any number."""
    return device.type == "cuda"


def repeat(step: Callable[[], None], times: int, device: torch.device) -> None:
    """Calls ``step`` so many times, or does what that would do."""
    if not captured(device) or times <= WARM_UP:
        for _ in range(times):
            step()
        return
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # records, does not run
        step()
    for _ in range(times - WARM_UP):
        graph.replay()
    torch.cuda.synchronize(device)


@contextmanager
def products(device: torch.device, rounding: str = "") -> Iterator[None]:
    """How float32 matrix products may round their factors; sums are float32 always, and float64 is as ever.

    Args:
        rounding: "bfloat16": to 8 bits, where a CPU has units for it (AMX, AVX-512 BF16); else a GPU may round to TF32's 11 bits.
    """
    before = torch.get_float32_matmul_precision()
    gpu = device.type == "cuda"
    torch.set_float32_matmul_precision("high" if gpu else "medium" if rounding == "bfloat16" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def rounded(like: Tensor) -> bool:
    """Whether products of such tensors are rounded at present."""
    coarse = {"highest": False, "high": like.is_cuda, "medium": True}
    return like.dtype == torch.float32 and coarse[torch.get_float32_matmul_precision()]
