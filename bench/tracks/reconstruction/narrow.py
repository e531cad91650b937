"""What the attack gets: a release with the granted tiers only, in fresh copies, and nothing behind it that leads to the data."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from bench import api, tracks
from bench.api import Architecture, Target
from bench.errors import BenchError
from bench.granted import Granted
from bench.targets.fresh import copies, copy
from bench.targets.oracle import Asked
from bench.tracks.reconstruction.release import Release

R = TypeVar("R", bound=api.Release)

LIBRARIES = frozenset({"torch", "numpy", "jaxtyping", "beartype", "builtins", "collections", "functools", "typing"})


def narrow(release: Release, needs: frozenset[str]) -> Release:
    """A release with the granted tiers only, made of fresh copies, so that nothing an attack does to it is seen elsewhere.

    Architecture, n_train and the input range are always there. An oracle answers what the tiers name, with a count of its own. No field is
    passed on that does not name its tier, and a ``forward`` that holds on to data is refused.

    Args:
        release: with every tier filled.
        needs: tiers that the attack declares.

    Raises:
        BenchError: a tier that is unknown, that the track cannot grant, or that this release lacks; or ``forward`` holds data.
    """
    tracks.admit("reconstruction", needs)
    passed = of_tiers(Release, release, needs)
    if "forward" in passed:
        pure(passed["forward"])
    if isinstance(oracle := passed.get("oracle"), Asked):
        passed["oracle"] = oracle.granting(needs)
    return Release(**public(release), **passed)


def transplant(release: Release, other: Release) -> Release:
    """The release with another network in it: weights, initial weights and the oracle, with the mean that it subtracts, are those of
    ``other``. Mean image, public images and the number of training images stay.

    Args:
        release, other: of one architecture; a field that the release lacks it has not afterwards.
    """
    network = {name: getattr(other, name) for name in ("weights", "forward", "initial_weights", "oracle") if hasattr(release, name)}
    return dataclasses.replace(release, **network)


def public(release: api.Release) -> dict[str, Any]:
    """What every release has, copied."""
    fields = {f.name: getattr(release.architecture, f.name) for f in dataclasses.fields(Architecture)}
    return {"architecture": Architecture(**fields), "n_train": release.n_train, "input_range": tuple(release.input_range)}


def of_tiers(kind: type[api.Release], release: api.Release, needs: frozenset[str]) -> dict[str, Any]:
    """The fields of a kind of release that the tiers grant, tensors copied.

    Raises:
        BenchError: the release has no such field.
    """
    passed = {}
    for name in (f.name for f in dataclasses.fields(kind) if isinstance(f.default, Granted) and f.default.by(needs)):
        if not hasattr(release, name):
            raise BenchError(f"the release has no {name}", expected=f"a target trained with its {name} kept", got="none")
        value = getattr(release, name)
        passed[name] = copy(value) if isinstance(value, Tensor) else copies(value) if isinstance(value, Mapping) else value
    return passed


def withholding(release: R, tiers: frozenset[str]) -> R:
    """The release without the fields that only these access tiers bring: what an owner keeps to itself (`bench.api.Defense.withholds`)."""
    granted = frozenset(get_args(api.Tier)) - tiers
    kept = {f.name for f in dataclasses.fields(type(release)) if not isinstance(f.default, Granted) or f.default.by(granted)}
    return type(release)(**{name: value for name, value in release.held().items() if name in kept})


def pure(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function as it is.

    Raises:
        BenchError: it holds data.
    """
    held = next(_data_within(forward), None)
    if held is not None:
        raise BenchError("the release's forward function holds data", expected="a pure function of weights and inputs", got=held)
    return forward


def fingerprint(release: api.Release) -> str:
    """Hash of every tensor in a release, 16 hex digits. The same before and after an attack, or else the attack changed its release."""
    digest = hashlib.sha256()
    for name, value in release.tensors():
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name}/{tensor.dtype}/{tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _data_within(value: Any, path: str = "forward", seen: set[int] | None = None) -> Iterator[str]:
    """Where a function holds tensors, arrays, targets or secrets: closures, defaults, bound objects, attributes, globals that it names."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    inner: list[tuple[str, Any]] = []
    if isinstance(value, (Tensor, np.ndarray, api.Secret, Target, api.Release)):
        yield f"{type(value).__name__} at {path}"
    elif isinstance(value, functools.partial):
        inner = [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    elif isinstance(value, types.MethodType):
        inner = [("__func__", value.__func__), ("__self__", value.__self__)]
    elif isinstance(value, types.FunctionType) and _ours(value):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        inner = [(f"<{name}>", cell.cell_contents) for name, cell in cells if _filled(cell)]
        inner += [("__defaults__", value.__defaults__), ("__kwdefaults__", value.__kwdefaults__), ("__dict__", value.__dict__)]
        inner += [(name, value.__globals__[name]) for name in value.__code__.co_names if name in value.__globals__]
    elif isinstance(value, Mapping):
        inner = [(f"[{key!r}]", item) for key, item in value.items()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner = [(f"[{i}]", item) for i, item in enumerate(value)]
    elif not isinstance(value, (types.ModuleType, type)) and _ours(value):
        inner = list(getattr(value, "__dict__", {}).items())
    for name, item in inner:
        yield from _data_within(item, f"{path}.{name}", seen)


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # a variable that was never assigned
        return False
    return True


def _ours(value: Any) -> bool:
    """Whether to look into a function or an object: not if a library that cannot know the data defined it."""
    module = value.__module__ if isinstance(value, types.FunctionType) else type(value).__module__
    return (module or "").partition(".")[0] not in LIBRARIES
