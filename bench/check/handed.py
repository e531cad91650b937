"""Whether what an attack is handed holds an image, wherever in it."""

from __future__ import annotations

import gc
import types

import numpy as np
import torch
from torch import Tensor


def reachable_tensors(root: object) -> list[Tensor]:
    """Every tensor and array that can be reached from an object: attributes, containers, closures, bound arguments.

    Modules, classes and the global names of functions are not followed: they hold the program, not what was handed over.
    """
    seen: set[int] = set()
    found: list[Tensor] = []
    stack: list[object] = [root]
    while stack:
        item = stack.pop()
        if id(item) in seen or isinstance(item, types.ModuleType | type | types.FrameType):
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            found.append(item)
            if item.grad_fn is not None:
                stack.append(item.grad_fn)
            if item._base is not None:
                stack.append(item._base)
            continue
        if isinstance(item, np.ndarray):
            if item.dtype.kind in "fiub":
                found.append(torch.from_numpy(np.ascontiguousarray(item)))
            continue
        if isinstance(item, types.FunctionType):
            stack += [item.__closure__, item.__defaults__, item.__kwdefaults__, item.__dict__]
            continue
        stack += gc.get_referents(item)
    return found


def holds_any(tensor: Tensor, images: Tensor) -> bool:
    """Whether the tensor's storage, anywhere and in any order of dimensions, holds one of the images (or one less the images' mean)."""
    storage = tensor.detach().cpu()
    if storage.layout == torch.strided and storage.numel():
        storage = torch.empty(0, dtype=storage.dtype).set_(storage.untyped_storage())  # type: ignore[call-overload]
    flat = storage.reshape(-1).float()
    for reference in (images, images - images.mean(0)):
        for image in reference.reshape(len(reference), -1).float():
            if len(flat) < len(image):
                continue
            starts = (flat[: len(flat) - len(image) + 1] - image[0]).abs() < 1e-6
            for start in starts.nonzero().flatten().tolist():
                if torch.allclose(flat[start : start + len(image)], image, atol=1e-6):
                    return True
    return False
