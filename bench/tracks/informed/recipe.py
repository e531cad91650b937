"""What the attacker can do besides looking: train networks by the target's recipe, and keep what took long."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.files import Files
from bench.sealed import seal, unseal
from bench.targets import one_missing
from bench.targets.one_missing import Compact, Known
from bench.targets.tangents import train_tangents
from bench.targets.train import MOMENTUM, left
from bench.targets.trials import train_trials

AT_ONCE = 1024  # networks trained between two looks at the store: what a kill can cost


class Keeper:
    """Computes a mapping of tensors once and keeps it in the store, under a target's name; counts the seconds that reading it saved."""

    def __init__(self, files: Files | None, target: str, device: torch.device) -> None:
        self.files, self.target, self.device = files, target, device
        self.saved = 0.0  # seconds that the things read took when they were made

    def __call__(self, name: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """What ``make`` gives, from the store if it was made before.

        Args:
            name: says all that the result depends on besides the target: the hyperparameters, and a version of the code that makes it.
        """
        file = self._file(name)
        found = _read(self.files, file)
        if found is not None:
            self.saved += found[1]
            return {key: value.to(self.device) for key, value in found[0].items()}
        began = time.perf_counter()
        made = dict(make())
        _write(self.files, file, made, time.perf_counter() - began)
        return made

    def _file(self, name: str) -> str:
        readable = re.sub(r"[^A-Za-z0-9]+", "-", name)[:40]
        return f"{self.target}-{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}.safetensors"


class Recipe:
    """The training of a target, for the attacker to repeat with images of its own: ``recipe(images, labels)`` → weights, b × …

    Networks once trained are kept in the store, in the coordinates they were trained in and some at a time, so that a run that was
    killed goes on.
    """

    def __init__(self, known: Known, device: torch.device, files: Files | None, target: str) -> None:
        self.known, self.device, self.files, self.target = known, device, files, target
        self.saved = 0.0  # seconds that the networks read took when they were trained
        self.spent = 0.0  # seconds of training, those included

    def __call__(self, images: Float[Tensor, "b c h w"], labels: Int[Tensor, " b"]) -> dict[str, Tensor]:
        """One network for each image, trained on the known images and that one."""
        parts = [self._some(images[k : k + AT_ONCE], labels[k : k + AT_ONCE]) for k in range(0, len(images), AT_ONCE)]
        rest = {name: torch.cat([p.rest[name] for p in parts]) for name in parts[0].rest}
        whole = Compact(torch.cat([p.inside for p in parts]), torch.cat([p.outside for p in parts]), rest)
        return one_missing.expand(self.known, whole, images, self.device)

    def trials(
        self, first: Float[Tensor, "h q"], inputs: Float[Tensor, "n q"], own: Float[Tensor, "b q"], labels: Int[Tensor, " b"]
    ) -> dict[str, Tensor]:
        """The recipe in coordinates of the caller's choice, and in their precision; nothing is kept. See `train_trials`."""
        return train_trials(self.known, first, inputs, own, labels)

    def tangents(
        self,
        first: Float[Tensor, "h q"],
        inputs: Float[Tensor, "n q"],
        own: Float[Tensor, " q"],
        label: Int[Tensor, ""],
        directions: Float[Tensor, "c q"],
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """One of the `trials` and its derivatives by its own image in these directions. See `train_tangents`."""
        return train_tangents(self.known, first, inputs, own, label, directions)

    @property
    def epochs(self) -> int:
        """How many every network is trained for."""
        return self.known.epochs

    @property
    def remains(self) -> float:
        """The share of an initial weight that weight decay leaves, where no image reaches it."""
        s = self.known.setting
        return left(1 - s.lr * s.weight_decay, MOMENTUM[s.optimizer], self.known.epochs)

    def _some(self, images: Tensor, labels: Tensor) -> Compact:
        content = hashlib.sha256()
        for tensor in (images.float(), labels):
            content.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        file = f"{self.target}-{content.hexdigest()[:16]}.safetensors"
        found = _read(self.files, file)
        if found is not None:
            self.saved += found[1]
            self.spent += found[1]
            return Compact.of(found[0])
        began = time.perf_counter()
        compact = one_missing.train(self.known, images.float(), labels, self.device)
        seconds = time.perf_counter() - began
        self.spent += seconds
        _write(self.files, file, compact.tensors(), seconds)
        return compact


def _read(files: Files | None, name: str) -> tuple[dict[str, Tensor], float] | None:
    """Tensors and the seconds they took, or None where there is no such file, or a broken one, which is made again."""
    try:
        tensors, said = unseal(files.read(name)) if files is not None else ({}, {})
        return tensors, float(said["seconds"])
    except (OSError, KeyError, ValueError):
        return None


def _write(files: Files | None, name: str, tensors: Mapping[str, Tensor], seconds: float) -> None:
    if files is not None:
        files.put(name, seal({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, {"seconds": repr(seconds)}))
