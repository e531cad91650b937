"""Full-batch gradient descent, many networks of one shape at once, in the span of each one's training images.

Two facts make the papers' long training cheap without changing it:

* Full-batch GD moves the first layer only inside the span of the n training images. With X = C Vᵀ (V orthonormal, D × n) the network sees
  C and W₁V; what is orthogonal to the images only shrinks, by (1 − lr·wd) a step. Training W₁V and adding the shrunken rest at the end is
  the same trajectory at n/D of the cost of the first layer.
* Networks of one shape are stacked (B × …) and stepped together by batched matrix products, gradients in closed form.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.api import Architecture, Setting
from bench.targets.losses import loss_gradient, loss_targets, loss_value
from bench.targets.models import activation_function, activation_slope

CHECK_EVERY = 100  # epochs between looks at the loss, off the hot path
MOMENTUM = {"gd": 0.0, "heavy_ball": 0.9}


class Trained(NamedTuple):
    """One trained network: weights in float32 or float64 on the CPU, and the facts of its training."""

    weights: dict[str, Tensor]
    facts: dict[str, Any]  # train_loss, epochs_run, loss_curve [[epoch, loss], …], seconds_train


def train_stack(
    architecture: Architecture,
    settings: Sequence[Setting],
    inputs: Sequence[Tensor],
    labels: Sequence[Tensor],
    starts: Sequence[dict[str, Tensor]],
    device: torch.device | str = "cpu",
) -> list[Trained]:
    """Trains B networks of one architecture, number of images, loss, optimiser, dtype and number of epochs.

    Args:
        inputs: B centred tensors, n × c × h × w.
        labels: B tensors of n class indices.
        starts: B initial weights.
    """
    began = time.perf_counter()
    first = settings[0]
    dtype = torch.float32 if first.dtype == "float32" else torch.float64
    X = torch.stack([x.flatten(1) for x in inputs]).to(device, torch.float64)
    lr = torch.tensor([s.lr for s in settings], dtype=torch.float64, device=device)
    decay = 1 - lr * torch.tensor([s.weight_decay for s in settings], dtype=torch.float64, device=device)
    target = loss_targets(first.loss, torch.stack(list(labels)).to(device), architecture.outputs).to(dtype)
    depth = len(architecture.hidden) + 1
    W = [torch.stack([s[f"layers.{i}.weight"] for s in starts]).to(device, torch.float64) for i in range(depth)]
    b = [
        torch.stack([s[f"layers.{i}.bias"] for s in starts]).to(device, dtype) if f"layers.{i}.bias" in starts[0] else None
        for i in range(depth)
    ]
    basis, X, W[0], rest = _into_span(X, W[0])
    X, W = X.to(dtype), [w.to(dtype) for w in W]
    step = lr.to(dtype).view(-1, 1, 1)
    shrink = decay.to(dtype).view(-1, 1, 1)
    momentum = MOMENTUM[first.optimizer]
    params = [*W, *(v for v in b if v is not None)]  # stepped in place
    change = [torch.zeros_like(p) for p in params] if momentum else []

    stops = [s.stop_loss for s in settings]
    finished: dict[int, tuple[int, list[Tensor], list[Tensor | None], float]] = {}
    curve: list[tuple[int, list[float]]] = []
    marks = _curve_marks(first.epochs)
    for epoch in range(first.epochs + 1):
        at_end = epoch == first.epochs
        if at_end or epoch in marks or epoch % CHECK_EVERY == 0:
            losses = loss_value(first.loss, _outputs(architecture.activation, W, b, X), target).tolist()
            if epoch in marks or at_end:
                curve.append((epoch, losses))
            for i, value in enumerate(losses):
                if i not in finished and (at_end or (stops[i] > 0 and value <= stops[i])):
                    finished[i] = (epoch, [w[i].clone() for w in W], [None if v is None else v[i].clone() for v in b], value)
            if len(finished) == len(settings):
                break
        if not momentum:
            _step(architecture.activation, first.loss, W, b, X, target, step, shrink)
            continue
        # PyTorch's momentum: the last change, times μ, goes on top of the plain step
        before = [p.clone() for p in params]
        _step(architecture.activation, first.loss, W, b, X, target, step, shrink)
        for now, then, last in zip(params, before, change, strict=True):
            last.mul_(momentum).add_(now).sub_(then)
            torch.add(then, last, out=now)

    seconds = (time.perf_counter() - began) / len(settings)
    result = []
    for i in range(len(settings)):
        epochs, weights, biases, value = finished[i]
        if basis is not None:
            full = weights[0].double() @ basis[i].mT + rest[i] * left(float(decay[i]), momentum, epochs)
            weights[0] = full.to(dtype)
        named = {f"layers.{k}.weight": w.cpu().contiguous() for k, w in enumerate(weights)}
        named |= {f"layers.{k}.bias": v.cpu().contiguous() for k, v in enumerate(biases) if v is not None}
        points = [[e, losses[i]] for e, losses in curve if e <= epochs]
        facts = {"train_loss": value, "epochs_run": epochs, "loss_curve": points, "seconds_train": seconds}
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


def _outputs(activation: str, W: list[Tensor], b: list[Tensor | None], X: Tensor) -> Tensor:
    activate = activation_function(activation)
    a = X
    for i, w in enumerate(W):
        a = a @ w.mT if b[i] is None else torch.baddbmm(b[i].unsqueeze(1), a, w.mT)  # type: ignore[union-attr]
        if i < len(W) - 1:
            a = activate(a)
    return a


def _step(
    activation: str, loss: str, W: list[Tensor], b: list[Tensor | None], X: Tensor, target: Tensor, lr: Tensor, shrink: Tensor
) -> None:
    """One step θ ← (1 − lr·wd)·θ − lr·∇L for every network of the stack, in place."""
    activate = activation_function(activation)
    inputs, slopes = [X], []
    a = X
    for i, w in enumerate(W):
        z = a @ w.mT if b[i] is None else torch.baddbmm(b[i].unsqueeze(1), a, w.mT)  # type: ignore[union-attr]
        if i == len(W) - 1:
            break
        a = activate(z)
        inputs.append(a)
        slopes.append(activation_slope(activation, z))
    delta = loss_gradient(loss, z, target) * lr  # the gradient is linear in delta, so the step size goes in here
    for i in reversed(range(len(W))):
        below = (delta @ W[i]) * slopes[i - 1] if i > 0 else None
        W[i].mul_(shrink).baddbmm_(delta.mT, inputs[i], alpha=-1)
        bias = b[i]
        if bias is not None:
            bias.mul_(shrink[:, 0]).sub_(delta.sum(1))
        if below is not None:
            delta = below


def _curve_marks(epochs: int) -> set[int]:
    """About 50 epochs, spaced evenly in the logarithm, at which the loss curve is kept."""
    return {0, *(round(epochs ** (k / 48)) for k in range(48))}
