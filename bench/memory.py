"""How many runs fit: the stack follows from free memory, and running out of it halves the stack instead of failing the cell."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

T = TypeVar("T")

SHARE = 0.5  # of the free memory that a stack may plan to use; the rest is for what the estimate leaves out


def budget(device: torch.device, limit_gib: float | None = None) -> int:
    """Bytes that a stack may plan to use on a device: half of what is free now, or the limit if that is less."""
    planned = int(SHARE * free_bytes(device))
    return planned if limit_gib is None else min(planned, int(limit_gib * 2**30))


def fitting(call: Callable[[int], T], count: int, halved: Callable[[int], None] = lambda fewer: None) -> T:
    """``call(count)``; where memory runs out, with half as many (rounded up), until it goes through, or fails with one.

    Args:
        halved: is told each smaller number.
    """
    while True:
        try:
            return call(count)
        except (MemoryError, RuntimeError) as error:
            if count == 1 or not is_out_of_memory(error):
                raise
        # outside the handler, where the traceback no longer holds the tensors of the stack that was too large
        count = (count + 1) // 2
        halved(count)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def in_pieces(call: Callable[[int, int], T], total: int, at_once: int) -> list[T]:
    """``call(start, stop)`` over 0 … total, so many at once at most; where memory runs out, no more than has fitted from then on."""
    answers: list[T] = []
    start = 0
    while start < total:
        count = min(at_once, total - start)

        def fewer(fitted: int) -> None:
            nonlocal count, at_once
            count = at_once = fitted

        answers.append(fitting(lambda size: call(start, start + size), count, fewer))  # noqa: B023 - called at once
        start += count
    return answers


def free_bytes(device: torch.device) -> int:
    """Free memory: of the GPU as its driver tells, with what PyTorch holds there and does not use, or of the machine with its reclaimable
    caches; 4 GiB where the system does not say."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + max(0, kept)
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return min(int(line.split()[1]) * 1024, cgroup_bytes())
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):
        return 4 * 2**30


def forget_peak(device: torch.device) -> None:
    """``peak_memory_mb`` of a GPU is of what comes from now on."""
    if device.type == "cuda":
        torch.cuda.init()  # else there is no allocator yet to tell, in a process that has not used the GPU
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MiB: on a GPU of this batch; on a CPU of the whole process so far, which is all that the system tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource  # not on every system: releases are read where attacks cannot run

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def cgroup_bytes(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """What the control groups of this process leave it, as those of a container or a batch job do; no bound where they say none.

    A page cache counts as used there, though it is given back: its inactive part is taken off.
    """
    least = 2**63 - 1
    with contextlib.suppress(OSError, ValueError):
        lines = [line.split(":", 2) for line in own.read_text(encoding="utf-8").splitlines()]
        folders = [(root / path.lstrip("/"), "memory.max", "memory.current", "inactive_file") for _, kinds, path in lines if not kinds]
        folders += [
            (root / "memory" / path.lstrip("/"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            for _, kinds, path in lines
            if "memory" in kinds.split(",")
        ]
        for folder, limit, used, inactive in folders:
            for level in (folder, *folder.parents):  # within a container the path may be that of the host, and its root is the group
                if level.is_relative_to(root):
                    with contextlib.suppress(OSError, ValueError):
                        most = int((level / limit).read_text(encoding="utf-8"))
                        stat = dict(line.split() for line in (level / "memory.stat").read_text(encoding="utf-8").splitlines())
                        least = min(least, most - int((level / used).read_text(encoding="utf-8")) + int(stat.get(inactive, 0)))
    return max(0, least)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: PyTorch's own on a GPU, its allocator's on a CPU, or Python's."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    # PyTorch's allocator on a CPU has one wording on Windows and another elsewhere
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("can't allocate", "not enough memory", "out of memory", "ALLOC_FAILED", "bad_alloc")
    )
