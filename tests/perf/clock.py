"""Timing: two or more things in turn (A B A B …), so that what slows the machine slows them all, and medians of what is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Samples:
    """Seconds of one thing, measured several times."""

    seconds: tuple[float, ...]
    per: str = "call"  # what the seconds are for: a step, a run, an epoch
    note: str = ""  # how they were obtained where that is not plain: "200 pairs timed, times 2500"

    @property
    def median(self) -> float:
        """Seconds, the middle one."""
        return float(np.median(self.seconds))

    @property
    def iqr(self) -> float:
        """Seconds between the quartiles; 0 for a single sample."""
        low, high = np.percentile(self.seconds, [25, 75])
        return float(high - low)

    def times(self, factor: float, per: str, note: str = "") -> Samples:
        """The same, scaled."""
        return Samples(tuple(s * factor for s in self.seconds), per, note or self.note)


def synchronise() -> None:
    """Waits for a GPU to finish; nothing on a CPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    synchronise()
    began = time.perf_counter()
    call()
    synchronise()
    return time.perf_counter() - began


def interleaved(repeats: int, warmup: int = 1, **timed: Callable[[], float]) -> dict[str, Samples]:
    """Samples of each thing, taken in turn.

    Args:
        repeats: samples of each, after ``warmup`` that are thrown away.
        timed: name → a function that does the work once and returns its seconds (often ``lambda: seconds(call)``).
    """
    taken: dict[str, list[float]] = {name: [] for name in timed}
    for i in range(warmup + repeats):
        for name, sample in timed.items():
            value = sample()
            if i >= warmup:
                taken[name].append(value)
    return {name: Samples(tuple(values)) for name, values in taken.items()}
