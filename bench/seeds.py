"""Randomness by name: the same names give the same numbers, whatever ran before.

No code in this project draws from a global generator. A stream is named by what it is for
(``generator("attack", cell_id, 3)``), so adding, removing or reordering cells changes no result.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def seed(*names: object) -> int:
    """A seed in [0, 2**63), the head of the SHA-256 of the names.

    Names are joined by a separator that no printed name contains, so ``("a", "bc")`` and ``("ab", "c")`` differ.
    """
    digest = hashlib.sha256("\x1f".join(str(name) for name in names).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*names: object) -> torch.Generator:
    """A CPU generator seeded by the names. Draw on the CPU and move: CUDA streams differ between cards.

    PyTorch keeps 32 bits of a CPU generator's seed. Of a hundred thousand streams some two may so be the same (a chance of 69 %, of ten
    thousand 1 %): which two is as good as random, and they are used for different networks or attacks.
    """
    import torch

    return torch.Generator().manual_seed(seed(*names))


def numpy_generator(*names: object) -> np.random.Generator:
    """The same for NumPy: a PCG64 generator seeded by the names."""
    import numpy as np

    return np.random.default_rng(seed(*names))
