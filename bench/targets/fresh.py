"""Fresh copies of tensors: nothing that is done to them is seen elsewhere, and nothing hangs on them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def copy(tensor: Tensor) -> Tensor:
    """Fresh storage of its own: no view into a larger tensor, no graph, no attributes that hang on the old one."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`copy` of each."""
    return {name: copy(tensor) for name, tensor in tensors.items()}
