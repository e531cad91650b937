"""The user's own class with the weights of a file in it: their code, by their choice. The file itself is still read as data alone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from bench.artefacts.checkpoints import state_dict
from bench.artefacts.reading import Reading
from bench.errors import BenchError

PREFIXES = ("module.", "_orig_mod.", "model.", "net.")  # of DataParallel, torch.compile and Lightning


def made(name: str) -> torch.nn.Module:
    """What ``package.module:factory`` makes: it imports the module, from the current folder too, and calls the factory without arguments.

    Raises:
        BenchError: there is no such thing, it fails, or it makes no module.
    """
    place, colon, attribute = name.partition(":")
    wanted = "package.module:factory, a class or a function without arguments that makes a torch.nn.Module"
    if not colon or not place or not attribute:
        raise BenchError(f"--model {name}: not understood", expected=wanted, got=repr(name), hint="--model my_code.networks:ResNet")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(place), attribute)
        module = found() if callable(found) and not isinstance(found, torch.nn.Module) else found
    except Exception as error:  # their code may raise anything
        text = " ".join(str(error).split())[:200]
        raise BenchError(f"--model {name} fails", expected=wanted, got=f"{type(error).__name__}: {text}") from error
    if not isinstance(module, torch.nn.Module):
        raise BenchError(f"--model {name} makes no network", expected=wanted, got=type(module).__name__)
    return module


def read_into(module: torch.nn.Module, path: Path | str, shape: tuple[int, int, int] | None, loss: str = "") -> Reading:
    """The module with the weights of a state dict, whatever programs have put before the names.

    Raises:
        BenchError: the file cannot be read, or its names or shapes are not the module's.
    """
    if shape is None:
        raise BenchError("the input shape of the network is not known", expected="channels, height, width", hint="--shape 3x32x32")
    entries = {str(key): value for key, value in state_dict(path).items() if isinstance(value, Tensor)}
    own = module.state_dict()
    fitted = _fitted(entries, own)
    missing = [key for key in own if key not in fitted and not key.endswith("num_batches_tracked")]
    wrong = [key for key in own if key in fitted and fitted[key].shape != own[key].shape]
    more = [key for key in fitted if key not in own]
    if missing or wrong or more:
        parts = [f"missing {', '.join(missing[:3])}"] if missing else []
        parts += [f"{key} of shape {tuple(fitted[key].shape)}" for key in wrong[:3]]
        parts += [f"unknown {', '.join(more[:3])}"] if more else []
        raise BenchError(
            f"the weights of {path} are not those of --model",
            expected=f"the {len(own)} entries of its state dict",
            got="; ".join(parts),
            hint="a factory that makes the network as it was trained, of the same widths and classes",
        )
    module.load_state_dict({**own, **{key: value.to(own[key].dtype) for key, value in fitted.items()}})
    return Reading.of_module(module, shape, loss, (f"read into {type(module).__name__}, with its own forward pass",))


def _fitted(entries: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries by the module's names: prefixes that all of them share are taken off as long as that helps."""
    named = dict(entries)
    while set(named) != set(own):
        prefix = next((p for p in PREFIXES if named and all(key.startswith(p) for key in named)), None)
        if prefix is None:
            break
        named = {key.removeprefix(prefix): value for key, value in named.items()}
    return named
