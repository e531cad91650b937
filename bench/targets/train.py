"""Many networks of one shape in training at once: stacked (B × …) and stepped together.

Full-batch descent of MLPs goes in the span of the training images (`train_span`), of convolutional networks through autograd (`train_cnn`);
Adam takes minibatches (`train_adam`). A defence that changes the steps has a way of its own (`train_defended`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from bench.api import Architecture, Rehearsal, Setting, Training
from bench.capture import Repeated
from bench.errors import BenchError
from bench.precision import in_force, pinned
from bench.targets.losses import loss_targets, loss_value, smoothed
from bench.targets.train_adam import ByAdam
from bench.targets.train_cnn import ByAutograd
from bench.targets.train_defended import Defended, changes_steps, refuse
from bench.targets.train_span import InSpan

CHECK_EVERY = 100  # epochs between looks at the loss, off the hot path
MOMENTUM = {"gd": 0.0, "heavy_ball": 0.9}  # of the full-batch optimisers


Look = tuple[int, list[Tensor | None], float]  # epoch, copied parameters, training loss


class Trained(NamedTuple):
    """One trained network: weights in float32 or float64 on the CPU, and the facts of its training."""

    weights: dict[str, Tensor]
    facts: dict[str, Any]  # train_loss, epochs_run, loss_curve [[epoch, loss], …], seconds_train, rounding_train


class Stack(Protocol):
    """Networks of one shape in training."""

    def outputs(self) -> Tensor:
        """Of every network for its images, B × n × k."""

    target: Tensor  # what these are compared with, B × n × k
    replayable: bool  # whether every step is the same to Python, so that a GPU may replay it

    def draw(self) -> None:
        """What the next step needs of the host."""

    def step(self) -> None:
        """One epoch."""

    def copy(self, i: int) -> list[Tensor | None]:
        """The parameters of network i as they are now."""

    def held_out_loss(self) -> list[float]:
        """Of every network for what it holds out; empty where it holds nothing out."""

    def weights(self, i: int, copied: list[Tensor | None], epochs: int) -> dict[str, Tensor]:
        """Named weights from such a copy, made after so many epochs."""


@pinned()
def train_stack(
    architecture: Architecture,
    settings: Sequence[Setting],
    inputs: Sequence[Tensor],
    labels: Sequence[Tensor],
    starts: Sequence[dict[str, Tensor]],
    device: torch.device | str = "cpu",
    rehearsals: Sequence[Rehearsal | None] = (),
    curve: bool = True,
    changes: Sequence[Training | None] = (),
) -> list[Trained]:
    """Trains B networks of one architecture, number of images, loss, optimiser, dtype and number of epochs.

    Args:
        inputs: B centred tensors, n × c × h × w.
        labels: B tensors of n class indices.
        starts: B initial weights.
        rehearsals: of all networks, alike in shape and weight and their questions centred as the inputs are, or of none.
        curve: whether the loss is wanted on the way. Each look costs half an epoch; without, and where no loss stops the training, the
            only one is at the end, and ``loss_curve`` is that.
        changes: what a defence makes of the training of all networks, alike but for its tensors, which are centred as the inputs are; or
            of none.

    Raises:
        BenchError: a rehearsal without minibatches, or a change of the training that makes no sense here.
    """
    began = time.perf_counter()
    first = settings[0]
    dtype = torch.float32 if first.dtype == "float32" else torch.float64
    x = torch.stack(list(inputs)).to(device, torch.float64)
    lr = torch.tensor([s.lr for s in settings], dtype=torch.float64, device=device)
    decay = 1 - lr * torch.tensor([s.weight_decay for s in settings], dtype=torch.float64, device=device)
    target = loss_targets(first.loss, torch.stack(list(labels)).to(device), architecture.outputs).to(dtype)
    start = {name: torch.stack([s[name] for s in starts]).to(device, torch.float64) for name in starts[0]}
    rehearsed = [r for r in rehearsals if r is not None]
    if rehearsed and first.optimizer != "adam":
        raise BenchError(
            f"defence '{first.defense}' rehearses, which needs training on minibatches",
            expected="optimizer adam",
            got=first.optimizer,
            hint="--set optimizer=adam",
        )
    changed = [c for c in changes if c is not None]
    if changed:
        refuse(changed[0], first, x.shape[1], bool(rehearsed))
        target = smoothed(first.loss, target, changed[0].smoothing)
    network: Stack
    if changed and changes_steps(changed[0]):
        network = Defended(architecture, settings, start, x, target, changed, MOMENTUM.get(first.optimizer))
    elif first.optimizer == "adam":
        network = ByAdam(architecture, settings, start, x, target, rehearsed)
    else:
        kind = InSpan if architecture.model == "mlp" else ByAutograd
        network = kind(architecture, first.loss, start, x, target, lr, decay, MOMENTUM[first.optimizer])

    stops = [s.stop_loss for s in settings]
    finished: dict[int, Look] = {}
    points: list[tuple[int, list[float]]] = []
    marks = _curve_marks(first.epochs)
    waiting = changed[0].held_out if changed else None
    best: dict[int, tuple[float, Look]] = {}  # of early stopping: the least loss on what is held out, and the look that it was seen at
    watched = curve or any(stop > 0 for stop in stops)
    looks = {*(m for m in marks if m <= first.epochs), *range(0, first.epochs, CHECK_EVERY)} if watched else set()
    if waiting is not None:
        looks |= set(range(0, first.epochs, waiting.every))
    place = x.device if network.replayable else torch.device("cpu")
    steps, done = Repeated(network.step, place, before=network.draw, alone=len(settings) == 1), 0
    for epoch in sorted({*looks, first.epochs}):
        steps(epoch - done)
        at_end, done = epoch == first.epochs, epoch
        losses = loss_value(first.loss, network.outputs(), network.target).tolist()
        if epoch in marks or at_end:
            points.append((epoch, losses))
        held_out = network.held_out_loss() if waiting is not None and (at_end or epoch % waiting.every == 0) else []
        for i, value in enumerate(losses):
            if i in finished:
                continue
            if held_out and (i not in best or held_out[i] < best[i][0]):
                best[i] = held_out[i], (epoch, network.copy(i), value)
            over = at_end or (stops[i] > 0 and value <= stops[i])
            if over and i not in best:
                finished[i] = (epoch, network.copy(i), value)
            elif i in best and (over or (waiting is not None and epoch - best[i][1][0] >= waiting.patience * waiting.every)):
                finished[i] = best[i][1]
        if len(finished) == len(settings):
            break

    seconds = (time.perf_counter() - began) / len(settings)
    result = []
    for i in range(len(settings)):
        epochs, copied, value = finished[i]
        passed = [[e, losses[i]] for e, losses in points if e <= epochs]
        facts = {"train_loss": value, "epochs_run": epochs, "loss_curve": passed, "seconds_train": seconds}
        facts["rounding_train"] = in_force(x.device)
        named = {name: w.to(dtype).cpu().contiguous() for name, w in network.weights(i, copied, epochs).items()}
        result.append(Trained(named, facts))
    return result


def _curve_marks(epochs: int) -> set[int]:
    """About 50 epochs, spaced evenly in the logarithm, at which the loss curve is kept."""
    return {0, *(round(epochs ** (k / 48)) for k in range(48))}
