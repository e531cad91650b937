"""What PyTorch has one of for the whole process, kept from plug-ins: one that changes it must not change the cells after its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from bench.precision import Switches, pinned


class TorchState(NamedTuple):
    """Settings that change what other code computes, or how fast."""

    dtype: torch.dtype
    gradients: bool
    precision: Switches
    threads: int
    deterministic: bool

    @classmethod
    def now(cls) -> TorchState:
        """As it is."""
        return cls(
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            Switches.now(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
        )

    def restore(self) -> None:
        """Makes it so again; touches only what has changed."""
        now = TorchState.now()
        if now.dtype != self.dtype:
            torch.set_default_dtype(self.dtype)
        if now.gradients != self.gradients:
            torch.set_grad_enabled(self.gradients)
        self.precision.restore()
        if now.threads != self.threads:
            torch.set_num_threads(self.threads)
        if now.deterministic != self.deterministic:
            torch.use_deterministic_algorithms(self.deterministic)


@contextmanager
def restored() -> Iterator[None]:
    """Inside, products are in full float32 unless code there asks otherwise; whatever happens, the state afterwards is the one before."""
    before = TorchState.now()
    try:
        with pinned():
            yield
    finally:
        before.restore()
