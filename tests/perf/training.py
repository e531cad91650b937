"""Target training: the same epochs in the span of the images against gradient descent on pixels, and other ways to the same end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench import registry, seeds
from bench.api import Architecture, Setting, Target
from bench.data.split import split
from bench.targets.cache import TargetCache
from bench.targets.models import architecture, initial_weights
from bench.targets.train import train_stack
from bench.tracks.reconstruction.targets import obtain

from .clock import Samples, interleaved, seconds
from .floor import floor, work
from .line import Check, Line, Part
from .pixel_gd import PixelGD
from .problem import real_images
from .steps import ceiling


@dataclass(frozen=True)
class Size:
    """Of the target and the measurement."""

    hidden: tuple[int, ...] = (500,)
    n_per_class: int = 10
    epochs: int = 12_000
    baseline_epochs: int = 300  # of the alternative, timed in parts and scaled; the weights are compared after them
    parts: int = 5
    dataset: str = ""


FULL = Size()
QUICK = Size(epochs=1000, baseline_epochs=40, dataset="photo_tiles")
TOY = Size(hidden=(15,), n_per_class=2, epochs=40, baseline_epochs=10, parts=2, dataset="photo_tiles")


def run(size: Size) -> Part:
    """The line for equal epochs and equal weights."""
    dataset, display = real_images() if not size.dataset else (size.dataset, size.dataset)
    full = Setting(
        dataset=dataset, n_per_class=size.n_per_class, hidden=size.hidden, epochs=size.epochs, lr=0.02, weight_decay=0.003, init_scale=1e-4
    )
    net, inputs, labels, start = problem(full)
    short = full.model_copy(update={"epochs": size.baseline_epochs})

    def train(setting: Setting, dtype: str) -> dict[str, Tensor]:
        return train_stack(net, [setting.model_copy(update={"dtype": dtype})], [inputs], [labels], [start])[0].weights

    theirs = PixelGD(net, full, inputs, labels, start)
    part = size.baseline_epochs // size.parts
    times = interleaved(
        size.parts,
        warmup=0,  # every epoch of theirs counts towards the weights that are compared
        theirs=lambda: seconds(lambda: [theirs.epoch() for _ in range(part)]),
        ours=lambda: seconds(lambda: train(full, "float32")),
    )
    base = times["theirs"].times(size.epochs / part, "training", f"{part * size.parts} epochs timed and scaled to {size.epochs}")
    after = {name: w.detach() for name, w in theirs.weights.items()}
    same = short.model_copy(update={"epochs": part * size.parts})
    long32, long64 = train(full, "float32"), train(full, "float64")
    checks = (
        Check(f"weights after {same.epochs} epochs, float64, relative", apart(train(same, "float64"), after), 1e-9),
        Check(f"weights after {same.epochs} epochs, float32, relative", apart(train(same, "float32"), after), 1e-4),
        Check(f"weights after all {size.epochs} epochs, float32 against float64, relative", apart(long32, long64), 1e-2),
    )
    # counted between two lengths that look at the loss alike: once in a hundred epochs, and at about fifty marks
    fewer = min(size.epochs, 1000)
    shorter, longer = (work(lambda e=e: train(full.model_copy(update={"epochs": e}), "float32")) for e in (fewer, fewer + 200))
    shape = "-".join(map(str, widths(net)))
    limit = floor(
        f"one epoch of training, {shape}, n={len(inputs)}, span",
        (longer - shorter) / 200,
        times["ours"].median / size.epochs,
        torch.float32,
    )
    line = Line(
        "training",
        f"target training, {size.epochs} epochs, {len(inputs)} images of {display}, {shape}: float32 in the span of the images against "
        "float64 gradient descent on pixels",
        Samples(times["ours"].seconds, "training"),
        base,
        at_least=25.0,
        checks=checks,
        bound=ceiling(limit, base.median / size.epochs),
    )
    return Part((line,), (limit,))


def problem(setting: Setting) -> tuple[Architecture, Tensor, Tensor, dict[str, Tensor]]:
    """Architecture, centred images (float64), labels and initial weights of a two-class setting."""
    parts = split(registry.resolve_data(setting.dataset).load(), setting)
    images = torch.from_numpy(parts.train).double()
    net = architecture(setting, (images.shape[1], images.shape[2], images.shape[3]), len(parts.class_names))
    start = initial_weights(net, setting.init_scale, seeds.generator("init", setting.seed))
    return net, images - images.mean(0), torch.from_numpy(parts.train_labels), start


def widths(net: Architecture) -> list[int]:
    """Of all layers, input and output included."""
    return [math.prod(net.input_shape), *net.hidden, net.outputs]


def apart(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Largest ‖difference‖ / ‖theirs‖ over the weight tensors."""
    return max(float((ours[k].double() - theirs[k].double()).norm() / theirs[k].double().norm()) for k in theirs)


@dataclass(frozen=True)
class Trained:
    """What a way of training leads to."""

    name: str
    seconds: float
    epochs: int
    loss: float
    residual: float
    target: Target


def ways(base: Setting, contenders: Sequence[tuple[str, dict[str, Any]]], cache: TargetCache | None = None) -> list[Trained]:
    """Trains one target in several ways, for equal KKT residual at fewer seconds.

    Args:
        contenders: (name, Setting fields that differ from ``base``).
        cache: where trained targets are kept and found; None: all are trained afresh.
    """
    result = []
    for name, overrides in contenders:
        target = obtain([Setting.model_validate({**base.model_dump(), **overrides})], cache)[0]
        facts = target.facts  # seconds of the training alone, without data and residual
        result.append(Trained(name, facts["seconds_train"], facts["epochs_run"], facts["train_loss"], facts["kkt_residual"], target))
    return result
