"""What steps convolutional networks of one shape in training: the gradient through autograd, the step as in `train`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.api import Architecture
from bench.targets.losses import loss_gradient
from bench.targets.models import forward
from bench.targets.parameters import Parameters


class ByAutograd(Parameters):
    """Networks of one shape and what steps them, in place. Any architecture that `forward` knows.

    Args:
        start, x, target: as of `Parameters`.
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
        super().__init__(architecture, loss, start, x, target)
        self.momentum = momentum
        self.lr = lr.to(target.dtype).view(-1, 1, 1)
        self.decay = None if bool((decay == 1).all()) else decay.to(target.dtype)
        self.changes = [torch.zeros_like(w) for w in self.parameters.values()] if momentum else []

    def step(self) -> None:
        out = forward(self.architecture, self.parameters, self.x)
        delta = loss_gradient(self.loss, out.detach(), self.target).mul_(self.lr)  # the gradient is linear in it: the step size goes in
        gradients = torch.autograd.grad(out, list(self.parameters.values()), delta)
        with torch.no_grad():
            for k, (w, gradient) in enumerate(zip(self.parameters.values(), gradients, strict=True)):
                decay = None if self.decay is None else self.decay.view(-1, *[1] * (w.dim() - 1))
                if self.momentum:  # PyTorch's momentum: the last change, times μ, goes on top of the plain step
                    change = self.changes[k].mul_(self.momentum).sub_(gradient)
                    if decay is not None:
                        change.addcmul_(w, decay - 1)
                    w.add_(change)
                else:
                    (w if decay is None else w.mul_(decay)).sub_(gradient)
