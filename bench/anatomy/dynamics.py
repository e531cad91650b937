"""Training watched from inside: the share of hidden units that say nothing on the training images, and how far the weights have moved.

Two recipes, those of the two families of attacks: ``informed``, a small network from PyTorch's own start until it fits, and ``kkt``, a wide
one from a tiny start, trained with weight decay for long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench import seeds as streams
from bench.api import ImageSet, Setting
from bench.data.split import check_size, split
from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor

    from bench.api import Architecture

MARKS = 28  # epochs at which a curve is read, evenly in the logarithm
QUIET = 0.1  # of the widest span of activations in the layer: a unit that varies less is quiet
KKT = {"n_per_class": 10, "hidden": (500,), "weight_decay": 0.003, "lr": 0.02, "epochs": 12_000, "init_scale": 1e-4}
INFORMED = {"bias": "all", "init_scale": None, "optimizer": "heavy_ball", "epochs": 5000, "stop_loss": 0.05}
MANY = {"classes": 10, "loss": "ce", "n_per_class": 20, "hidden": (10,), "lr": 0.2}  # as in the grid mnemonist2023
FEW = {"n_per_class": 25, "hidden": (20,), "lr": 0.05}  # as in the grid mnemonist: where the set is too small for that


def informed_setting(images: ImageSet, activation: str, seed: int) -> Setting:
    """The setting of the informed track's networks on this set: ten classes, or two where a small set allows no more."""
    common = {**INFORMED, "dataset": images.name, "activation": activation, "seed": seed}
    try:
        setting = Setting.model_validate({**common, **MANY})
        check_size(images, Setting.model_validate({**common, **MANY, "n_per_class": 60}))  # secret images and shadows besides
    except BenchError:
        setting = Setting.model_validate({**common, **FEW})
        check_size(images, setting)
    return setting


def curves(images: ImageSet, activation: str, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of both recipes, for networks of several seeds: ``dead``, ``quiet`` (shares of hidden units), ``moved`` (by layer), ``loss``."""
    rows = []
    for recipe, watched in (("informed", _informed), ("kkt", _kkt)):
        for seed, epoch, measures in watched(images, activation, seeds):
            common = {"part": "dynamics", "recipe": recipe, "activation": activation, "seed": seed, "epoch": epoch}
            rows += [{**common, "measure": name, "index": layer, "value": value} for (name, layer), value in measures.items()]
    return rows


Watched = Iterator[tuple[int, int, dict[tuple[str, int], float]]]  # seed, epoch, (measure, layer) → value


def _informed(images: ImageSet, activation: str, seeds: Sequence[int]) -> Watched:
    """One network a seed on the known images and one more; watched up to the epoch that the track's recipe fixes."""
    import torch

    from bench.targets import one_missing
    from bench.tracks.informed.targets import known_of

    for seed in seeds:
        setting = informed_setting(images, activation, seed)
        parts = split(images, setting)
        known = known_of(setting, parts)
        known = replace(known, epochs=one_missing.epochs_to_loss(known)[0])
        marks, seen = marks_until(known.epochs), []
        own, label = torch.from_numpy(parts.test[:1]), torch.from_numpy(parts.test_labels[:1])
        x = torch.cat([known.images, own]) - known.mean

        def watch(epoch: int, loss: float, now: Any) -> bool:
            if epoch in marks:  # noqa: B023
                seen.append((epoch, inside(known.architecture, known.start, now(), x) | {("loss", 0): loss}))  # noqa: B023
            return False

        one_missing.train(known, own, label, watch=watch)
        yield from ((seed, epoch, measures) for epoch, measures in seen)


def _kkt(images: ImageSet, activation: str, seeds: Sequence[int]) -> Watched:
    """The networks of all seeds in one stack, trained from mark to mark: gradient descent has no memory but the weights."""
    import torch

    from bench.targets.models import architecture, initial_weights
    from bench.targets.train import train_stack

    common = {**KKT, "dataset": images.name, "activation": activation}
    settings = [Setting.model_validate({**common, "seed": seed}) for seed in seeds]
    parts = [split(images, setting) for setting in settings]
    members = [torch.from_numpy(p.train) for p in parts]
    x, labels = [m - m.mean(0) for m in members], [torch.from_numpy(p.train_labels) for p in parts]
    shape = (x[0].shape[1], x[0].shape[2], x[0].shape[3])
    net = architecture(settings[0], shape, len(parts[0].class_names))
    starts = [initial_weights(net, s.init_scale, streams.generator("init", s.seed)) for s in settings]
    weights, before = starts, 0
    for epoch in sorted(marks_until(settings[0].epochs)):
        losses = [float("nan")] * len(settings)
        if epoch > before:
            trained = train_stack(net, [s.model_copy(update={"epochs": epoch - before}) for s in settings], x, labels, weights)
            weights, losses, before = [t.weights for t in trained], [t.facts["train_loss"] for t in trained], epoch
        for seed, start, now, own, loss in zip(seeds, starts, weights, x, losses, strict=True):
            yield seed, epoch, inside(net, start, now, own) | {("loss", 0): loss}


def marks_until(epochs: int) -> set[int]:
    """Epochs at which a curve is read: the first, the last, and some between, evenly in the logarithm."""
    return {0, epochs, *(round(epochs ** (k / MARKS)) for k in range(MARKS))}


def inside(net: Architecture, start: Mapping[str, Tensor], now: Mapping[str, Tensor], x: Tensor) -> dict[tuple[str, int], float]:
    """Of one network: dead and quiet units as shares of all, and how far each layer's weights moved, over their start's norm."""
    import torch

    from attacks.redundancy.evidence import Evidence
    from attacks.redundancy.inactive import inactive

    double = {name: w.double().unsqueeze(0) for name, w in now.items()}
    result = {}
    for name, tolerance in (("dead", 1e-6), ("quiet", QUIET)):
        units = inactive(Evidence(net, double, known=x.double()), tolerance).units
        result[name, 0] = float((torch.cat(units) == 0).double().mean())
    for layer in range(len(net.hidden) + 1):
        first = start[f"layers.{layer}.weight"].double()
        result["moved", layer] = float((double[f"layers.{layer}.weight"][0] - first).norm() / first.norm())
    return result
