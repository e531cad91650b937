"""Full-batch gradient descent, many networks of one shape at once; of MLPs in the span of each one's training images.

Convolutional networks are stepped through autograd (`train_cnn`). For MLPs two facts make the papers' long training cheap without
changing it:

* Full-batch GD moves the first layer only inside the span of the n training images. With X = C Vᵀ (V orthonormal, D × n) the network sees
  C and W₁V; what is orthogonal to the images only shrinks, by (1 − lr·wd) a step. Training W₁V and adding the shrunken rest at the end is
  the same trajectory at n/D of the cost of the first layer.
* Networks of one shape are stacked (B × …) and stepped together by batched matrix products, gradients in closed form.

A small network's epoch costs what launching its operators costs, so there are few of them: the first layer's bias is the weight of one
more input that is always 1, views and buffers are made once, and decay and momentum ride on the product that makes the gradient.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from bench.api import Architecture, Rehearsal, Setting
from bench.capture import Repeated
from bench.errors import BenchError
from bench.precision import in_force, pinned
from bench.targets.losses import loss_gradient, loss_targets, loss_value
from bench.targets.models import activation_function, activation_slope
from bench.targets.train_adam import ByAdam
from bench.targets.train_cnn import ByAutograd

CHECK_EVERY = 100  # epochs between looks at the loss, off the hot path
MOMENTUM = {"gd": 0.0, "heavy_ball": 0.9}  # of the full-batch optimisers


class Trained(NamedTuple):
    """One trained network: weights in float32 or float64 on the CPU, and the facts of its training."""

    weights: dict[str, Tensor]
    facts: dict[str, Any]  # train_loss, epochs_run, loss_curve [[epoch, loss], …], seconds_train, rounding_train


class Stack(Protocol):
    """Networks of one shape in training."""

    def outputs(self) -> Tensor:
        """Of every network for its images, B × n × k."""

    replayable: bool  # whether every step is the same to Python, so that a GPU may replay it

    def draw(self) -> None:
        """What the next step needs of the host."""

    def step(self) -> None:
        """One epoch."""

    def copy(self, i: int) -> list[Tensor | None]:
        """The parameters of network i as they are now."""

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
) -> list[Trained]:
    """Trains B networks of one architecture, number of images, loss, optimiser, dtype and number of epochs.

    Args:
        inputs: B centred tensors, n × c × h × w.
        labels: B tensors of n class indices.
        starts: B initial weights.
        rehearsals: of all networks, alike in shape and weight and their questions centred as the inputs are, or of none.
        curve: whether the loss is wanted on the way. Each look costs half an epoch; without, and where no loss stops the training, the
            only one is at the end, and ``loss_curve`` is that.

    Raises:
        BenchError: a rehearsal without minibatches.
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
    network: Stack
    if first.optimizer == "adam":
        network = ByAdam(architecture, settings, start, x, target, rehearsed)
    else:
        kind = _InSpan if architecture.model == "mlp" else ByAutograd
        network = kind(architecture, first.loss, start, x, target, lr, decay, MOMENTUM[first.optimizer])

    stops = [s.stop_loss for s in settings]
    finished: dict[int, tuple[int, list[Tensor | None], float]] = {}
    points: list[tuple[int, list[float]]] = []
    marks = _curve_marks(first.epochs)
    watched = curve or any(stop > 0 for stop in stops)
    looks = {*(m for m in marks if m <= first.epochs), *range(0, first.epochs, CHECK_EVERY)} if watched else set()
    place = x.device if network.replayable else torch.device("cpu")
    steps, done = Repeated(network.step, place, before=network.draw, alone=len(settings) == 1), 0
    for epoch in sorted({*looks, first.epochs}):
        steps(epoch - done)
        at_end, done = epoch == first.epochs, epoch
        losses = loss_value(first.loss, network.outputs(), target).tolist()
        if epoch in marks or at_end:
            points.append((epoch, losses))
        for i, value in enumerate(losses):
            if i not in finished and (at_end or (stops[i] > 0 and value <= stops[i])):
                finished[i] = (epoch, network.copy(i), value)
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


def left(decay: float, momentum: float, epochs: int) -> float:
    """What is left, after so many epochs, of a weight that no gradient reaches and that only decays."""
    if not momentum:
        return decay**epochs
    weight, change = 1.0, 0.0
    for _ in range(epochs):
        change = momentum * change + (decay - 1) * weight
        weight += change
    return weight


def _into_span(X: Tensor, W1: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
    """Basis V (B × D × n) of the images, their coordinates, W₁V, and the part of W₁ orthogonal to the images."""
    if X.shape[1] >= X.shape[2]:
        return None, X, W1, torch.zeros(())
    V, R = torch.linalg.qr(X.mT)
    inside = W1 @ V
    return V, R.mT.contiguous(), inside, W1 - inside @ V.mT


class _InSpan:
    """MLPs of one shape and what steps them, in place, the first layer in the span of the images.

    Args:
        start: initial weights by name, B × …, float64.
        x: centred inputs, B × n × c × h × w, float64.
        target: B × n × k, in the precision of training.
        lr, decay: one number a network; θ ← decay·θ − lr·∇L, plus ``momentum`` times the last change.
    """

    def __init__(
        self,
        architecture: Architecture,
        loss: str,
        start: Mapping[str, Tensor],
        x: Tensor,
        target: Tensor,
        lr: Tensor,
        decay: Tensor,
        momentum: float,
    ) -> None:
        dtype, depth = target.dtype, len(architecture.hidden) + 1
        self.decays = decay.tolist()
        W = [start[f"layers.{i}.weight"] for i in range(depth)]
        b = [start[f"layers.{i}.bias"].to(dtype) if f"layers.{i}.bias" in start else None for i in range(depth)]
        self.basis, X, W[0], self.rest = _into_span(x.flatten(2), W[0])
        X, W = X.to(dtype), [w.to(dtype) for w in W]
        lr, decay = lr.to(dtype), decay.to(dtype)
        self.folded = b[0] is not None  # into the first layer
        if b[0] is not None:
            X, W[0], b[0] = torch.cat([X, torch.ones_like(X[..., :1])], -1), torch.cat([W[0], b[0].unsqueeze(-1)], -1), None
        activation = architecture.activation
        self.activation, self.loss, self.W, self.b, self.X, self.target = activation, loss, W, b, X, target
        self.activate = activation_function(activation)
        self.transposed = [w.mT for w in W]
        self.lr, self.decay, self.momentum = lr.view(-1, 1, 1), decay.view(-1, 1, 1), momentum
        self.one_decay = float(decay[0]) if bool((decay == decay[0]).all()) else None
        self.change = [torch.zeros_like(w) for w in W] if momentum else []
        self.bias_change = [None if v is None else torch.zeros_like(v) for v in b] if momentum else []
        self.z = [X.new_empty(*X.shape[:2], w.shape[1]) for w in W]

    replayable = True

    def draw(self) -> None:
        pass

    def _forward(self) -> list[Tensor]:
        """Inputs of every layer; pre-activations go to self.z."""
        inputs = [self.X]
        for i, z in enumerate(self.z):
            bias = self.b[i]
            if bias is None:
                torch.bmm(inputs[i], self.transposed[i], out=z)
            else:
                torch.baddbmm(bias.unsqueeze(1), inputs[i], self.transposed[i], out=z)
            if i < len(self.W) - 1:
                inputs.append(self.activate(z))
        return inputs

    def copy(self, i: int) -> list[Tensor | None]:
        return [*(w[i].clone() for w in self.W), *(None if v is None else v[i].clone() for v in self.b)]

    def weights(self, i: int, copied: list[Tensor | None], epochs: int) -> dict[str, Tensor]:
        W, b = [w for w in copied[: len(self.W)] if w is not None], copied[len(self.W) :]
        if self.folded:
            W[0], b[0] = W[0][:, :-1], W[0][:, -1]
        if self.basis is not None:  # what no image reaches has only decayed
            W[0] = W[0].double() @ self.basis[i].mT + self.rest[i] * left(self.decays[i], self.momentum, epochs)
        named = {f"layers.{k}.weight": w for k, w in enumerate(W)}
        return named | {f"layers.{k}.bias": v for k, v in enumerate(b) if v is not None}

    def outputs(self) -> Tensor:
        self._forward()
        return self.z[-1]

    def step(self) -> None:
        inputs = self._forward()
        delta = loss_gradient(self.loss, self.z[-1], self.target).mul_(self.lr)  # the gradient is linear in delta: the step size goes in
        for i in reversed(range(len(self.W))):
            below = torch.bmm(delta, self.W[i]) if i > 0 else None
            self._move(i, delta, inputs[i])
            if below is not None:
                z = self.z[i - 1]
                if self.activation == "relu":  # its slope and the product in one operator
                    delta = torch.ops.aten.threshold_backward(below, z, 0)
                else:
                    delta = below.mul_(activation_slope(self.activation, z))

    def _move(self, i: int, delta: Tensor, inputs: Tensor) -> None:
        W, bias = self.W[i], self.b[i]
        if self.momentum:  # PyTorch's momentum: the last change, times μ, goes on top of the plain step
            change = self.change[i].baddbmm_(delta.mT, inputs, beta=self.momentum, alpha=-1)
            if self.one_decay != 1:
                change.addcmul_(W, self.decay - 1)
            W.add_(change)
            last = self.bias_change[i]
            if bias is not None and last is not None:
                last.mul_(self.momentum).sub_(delta.sum(1)).addcmul_(bias, self.decay[:, 0] - 1)
                bias.add_(last)
            return
        if self.one_decay is None:
            W.mul_(self.decay).baddbmm_(delta.mT, inputs, alpha=-1)
        else:
            W.baddbmm_(delta.mT, inputs, beta=self.one_decay, alpha=-1)
        if bias is not None:
            bias.mul_(self.decay[:, 0]).sub_(delta.sum(1))


def _curve_marks(epochs: int) -> set[int]:
    """About 50 epochs, spaced evenly in the logarithm, at which the loss curve is kept."""
    return {0, *(round(epochs ** (k / 48)) for k in range(48))}
