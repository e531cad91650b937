"""What the attacker can do besides looking: train networks by the target's recipe, and keep what took long.

Both stay where the store is. An attack in a process of its own has stand-ins, which train and keep by asking.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.api import Ask, Part
from bench.errors import BenchError
from bench.files import Files
from bench.sealed import seal, unseal
from bench.targets import one_missing
from bench.targets.one_missing import Compact, Known
from bench.targets.tangents import train_tangents
from bench.targets.train import MOMENTUM
from bench.targets.train_span import left
from bench.targets.trials import train_trials

AT_ONCE = 1024  # networks trained between two looks at the store: what a kill can cost


class Keeper(Part):
    """Computes a mapping of tensors once and keeps it in the store, under a target's name; counts the seconds that reading it saved."""

    def __init__(self, files: Files | None, target: str, device: torch.device) -> None:
        self.files, self.target, self.device = files, target, device
        self.saved = 0.0  # seconds that the things read took when they were made
        self._began: dict[str, float] = {}  # file → when a stand-in looked for it in vain

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

    def stand_in(self) -> Callable[[Ask], KeeperAfar]:
        """See Part."""
        return partial(KeeperAfar, self.device)

    def answer(
        self, question: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], owner: str
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See Part. What took how long is measured here."""
        file = self._file(str(facts.get("name")), owner)
        if question == "find":
            found = _read(self.files, file)
            if found is None:
                self._began[file] = time.perf_counter()
                return {}, {"found": False}
            self.saved += found[1]
            return found[0], {"found": True}
        if question != "keep" or file not in self._began:
            raise BenchError("what is kept is looked for first", expected="find, then keep", got=repr(question)[:60])
        _write(self.files, file, tensors, time.perf_counter() - self._began.pop(file))
        return {}, {}

    def _file(self, name: str, owner: str = "") -> str:
        """Attacks of different owners never meet each other's: what one keeps another would read as its own."""
        readable = re.sub(r"[^A-Za-z0-9]+", "-", name)[:40]
        return f"{self.target}-{readable}-{hashlib.sha256((name + owner).encode(errors='replace')).hexdigest()[:12]}.safetensors"


class KeeperAfar:
    """What stands for a keeper in an attack's own process."""

    def __init__(self, device: torch.device, ask: Ask) -> None:
        self._device, self._ask = device, ask

    def __call__(self, name: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """See Keeper."""
        tensors, facts = self._ask("find", {}, {"name": name})
        if facts["found"]:
            return {key: value.to(self._device) for key, value in tensors.items()}
        made = dict(make())
        self._ask("keep", made, {"name": name})
        return made


class Recipe(Part):
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

    def stand_in(self) -> Callable[[Ask], RecipeAfar]:
        """See Part. What is sent is what the tiers grant; the setting without what the split is drawn by."""
        setting = self.known.setting.model_copy(update={"dataset": "", "seed": 0})
        return partial(RecipeAfar, dataclasses.replace(self.known, setting=setting), self.device)

    def answer(
        self, question: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], owner: str
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See Part. Networks are trained here, so that those which are kept are what the recipe gives, whoever asked first."""
        images, labels = tensors.get("images"), tensors.get("labels")
        if question != "train" or images is None or labels is None:
            raise BenchError("the recipe does not understand", expected="train, with images and labels", got=repr(question)[:60])
        return self._some(images.to(self.device), labels.to(self.device)).tensors(), {}

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


class RecipeAfar(Recipe):
    """What stands for a recipe in an attack's own process: the stacks that are kept are trained where they are kept."""

    def __init__(self, known: Known, device: torch.device, ask: Ask) -> None:
        super().__init__(known, device, None, "")
        self._ask = ask

    def _some(self, images: Tensor, labels: Tensor) -> Compact:
        return Compact.of({name: t.to(self.device) for name, t in self._ask("train", {"images": images, "labels": labels}, {})[0].items()})


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
