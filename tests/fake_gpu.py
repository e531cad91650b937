"""A device that is not the CPU and computes on it: what reaches for the wrong one fails as on a GPU, and the numbers are the CPU's.

Inside ``FakeGpu()`` whatever is made on ``GPU``, or moved there, holds its numbers on the CPU and says that it is elsewhere. An operator on
such a tensor and on one of the CPU that has dimensions raises, and so does ``.numpy()``. The device goes by PyTorch's name for one without
data, since a build without CUDA lets nothing be on ``cuda``; so code must not ask for ``cuda`` where it means "not the CPU".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

GPU = torch.device("meta")
MOVES = ("_to_copy", "copy_", "lift_fresh")  # operators that may see both devices
INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_")  # whose indices may be on the CPU


class OnGpu(Tensor):
    """A tensor of the fake GPU."""

    held: Tensor  # its numbers

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        like = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype, "device": GPU}
        made = Tensor._make_wrapper_subclass(cls, held.size(), **like)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})

    def numpy(self, **named: Any) -> Any:
        raise TypeError("can't convert a GPU's tensor to numpy")

    def tolist(self) -> Any:
        return self.held.tolist()

    __torch_function__ = torch._C._disabled_torch_function_impl


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operator some of whose arguments, or whose result, may be on the fake GPU."""
    flat, spec = tree_flatten((args, kwargs))
    ours = [a for a in flat if isinstance(a, OnGpu)]
    name = func.name().removeprefix("aten::").partition(".")[0]
    assert not any(isinstance(a, Tensor) and not isinstance(a, OnGpu) and a.is_meta for a in flat), f"{name} on a tensor without numbers"
    strangers = [a for a in flat if isinstance(a, Tensor) and not isinstance(a, OnGpu) and a.dim() > 0]
    if ours and strangers and name not in MOVES and not (name in INDEXED and isinstance(args[0], OnGpu)):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices ({name})")
    asked = kwargs.get("device")
    here = bool(ours) if asked is None else torch.device(asked) == GPU
    if here and any(isinstance(a, torch.Generator) for a in flat):
        raise RuntimeError(f"Expected a 'cuda' device type for generator but found 'cpu' ({name})")
    plain = [a.held if isinstance(a, OnGpu) else torch.device("cpu") if isinstance(a, torch.device) and a == GPU else a for a in flat]
    given, named = tree_unflatten(plain, spec)
    result = func(*given, **named)
    if name == "copy_":
        return args[0]
    same = {id(a.held): a for a in ours}  # in place, or into `out`: that very tensor

    def wrapped(t: Any) -> Any:
        if not isinstance(t, Tensor) or not here:
            return t
        return same[id(t)] if id(t) in same else OnGpu(t)

    return tree_map(wrapped, result)


class _FromNumbers(TorchFunctionMode):
    """Tensors of Python's numbers are made on the CPU and then moved; PyTorch would ask nobody."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.tensor and kwargs.get("device") == GPU:
            kwargs.pop("device")
            return func(*args, **kwargs).to(GPU)
        if func is Tensor.new_tensor and isinstance(args[0], OnGpu):
            return torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)).to(GPU)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], OnGpu):
            where = args[1] if isinstance(args[1], tuple) else (args[1],)
            args = (args[0], tuple(torch.tensor(i) if isinstance(i, list) else i for i in where), *args[2:])
        return func(*args, **kwargs)


class FakeGpu(TorchDispatchMode):
    """A machine with one such device."""

    def __enter__(self) -> FakeGpu:
        self.numbers = _FromNumbers()
        self.numbers.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.numbers.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})
