"""MLPs of one shape in training by full-batch descent, the first layer in the span of each one's training images.

Full-batch GD moves the first layer only inside the span of the n training images. With X = C Vᵀ (V orthonormal, D × n) the network sees C
and W₁V; what is orthogonal to the images only shrinks, by (1 − lr·wd) a step. Training W₁V and adding the shrunken rest at the end is the
same trajectory at n/D of the cost of the first layer.

A small network's epoch costs what launching its operators costs, so there are few of them: the first layer's bias is the weight of one
more input that is always 1, views and buffers are made once, and decay and momentum ride on the product that makes the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from bench.api import Architecture
from bench.targets.losses import loss_gradient
from bench.targets.models import activation_function, activation_slope


def left(decay: float, momentum: float, epochs: int) -> float:
    """What is left, after so many epochs, of a weight that no gradient reaches and that only decays."""
    if not momentum:
        return decay**epochs
    weight, change = 1.0, 0.0
    for _ in range(epochs):
        change = momentum * change + (decay - 1) * weight
        weight += change
    return weight


def left_of_noise(decay: float, momentum: float, epochs: int) -> float:
    """The standard deviation of a weight that only decays and to whose gradient each of so many steps, of size 1, adds a standard normal
    number of its own."""
    if not momentum:
        return math.sqrt(epochs if decay == 1 else (1 - decay ** (2 * epochs)) / (1 - decay * decay))
    weight = change = 1.0  # what is left of a step's, one step after another
    total = 0.0
    for _ in range(epochs):
        total += weight * weight
        change = momentum * change + (decay - 1) * weight
        weight += change
    return math.sqrt(total)


def into_span(X: Tensor, W1: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
    """Basis V (B × D × n) of the images, their coordinates, W₁V, and the part of W₁ orthogonal to the images."""
    if X.shape[1] >= X.shape[2]:
        return None, X, W1, torch.zeros(())
    V, R = torch.linalg.qr(X.mT)
    inside = W1 @ V
    return V, R.mT.contiguous(), inside, W1 - inside @ V.mT


class InSpan:
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
        self.basis, X, W[0], self.rest = into_span(x.flatten(2), W[0])
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

    def held_out_loss(self) -> list[float]:
        return []

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
