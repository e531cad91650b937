"""Safetensors files that know their own digest, for what this program keeps and reads again: targets, networks, reconstructions.

The format itself has no checksum: a flipped bit in a file of weights is other weights. Files without a digest, of earlier versions or of
other programs, are read as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

KEY = "digest"


class BrokenSealError(ValueError):
    """A file that is cut off, damaged, or not what was written."""


def seal(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The content of a file: contiguous CPU tensors, and texts beside them."""
    from safetensors.torch import save

    return save(dict(tensors), metadata={**metadata, KEY: _digest(tensors, metadata)})


def unseal(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the texts of a file, given its content.

    Raises:
        BrokenSealError: it cannot be read, or is not what was written.
    """
    from safetensors.torch import load

    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])  # as the format has it; the library shows it of files
        metadata = dict(header.get("__metadata__") or {})
    except Exception as error:  # damaged bytes make parsers raise anything
        raise BrokenSealError(" ".join(str(error).split())[:200] or type(error).__name__) from error
    said = metadata.pop(KEY, None)
    if said is not None and said != _digest(tensors, metadata):
        raise BrokenSealError("its content is not what was written")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    import torch

    total = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        total.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
