"""The global state that a plug-in leaves alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch

from bench.torch_state import TorchState

MOVED = "a global generator moved, or a setting of PyTorch such as its default dtype: draw from the generator that is passed"


def global_state() -> tuple[Any, ...]:
    """PyTorch's settings, and the state of its and NumPy's global generators. (Python's own is also drawn from by type checkers, so it says
    nothing.)"""
    numpy_state: Sequence[Any] = cast(Any, np.random.get_state())
    return TorchState.now(), torch.get_rng_state().numpy().tobytes(), numpy_state[1].tobytes() + bytes(str(numpy_state[2]), "ascii")
