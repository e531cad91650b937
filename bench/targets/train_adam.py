"""What steps networks of one shape in training by Adam on minibatches: each network in an order of its own, drawn by its seed.

Adam (Kingma and Ba, 2015) works elementwise, so a stack of networks under one optimiser is as many optimisers. Full-batch descent, by which
the other targets are trained, takes many thousand steps to memorise a label that the image contradicts; this takes some hundred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bench import seeds
from bench.api import Architecture, Setting
from bench.targets.losses import loss_gradient
from bench.targets.models import forward


class ByAdam:
    """Networks of one shape and what steps them, in place. Any architecture that `forward` knows.

    Args:
        settings: one a network; they share loss, lr, weight_decay and batch_size. Weight decay is added to the gradient as wd·θ.
        start: initial weights by name, B × …, float64.
        x: centred inputs, B × n × c × h × w, float64.
        target: B × n × k, in the precision of training.
    """

    def __init__(
        self, architecture: Architecture, settings: Sequence[Setting], start: Mapping[str, Tensor], x: Tensor, target: Tensor
    ) -> None:
        first = settings[0]
        self.architecture, self.loss, self.batch_size, self.target = architecture, first.loss, first.batch_size, target
        self.x = x.to(target.dtype)
        self.parameters = {name: w.to(target.dtype, copy=True).requires_grad_() for name, w in start.items()}
        self.optimizer = torch.optim.Adam(list(self.parameters.values()), lr=first.lr, weight_decay=first.weight_decay, fused=True)
        self.draws = [seeds.generator("batches", setting.seed) for setting in settings]

    @torch.no_grad()
    def outputs(self) -> Tensor:
        return forward(self.architecture, self.parameters, self.x)

    def step(self) -> None:
        """One pass over the data; the last minibatch is what is left."""
        n = self.x.shape[1]
        order = torch.stack([torch.randperm(n, generator=draw) for draw in self.draws]).to(self.x.device)
        networks = torch.arange(len(order), device=order.device)[:, None]
        for part in order.split(self.batch_size, 1):
            out = forward(self.architecture, self.parameters, self.x[networks, part])
            delta = loss_gradient(self.loss, out.detach(), self.target[networks, part])
            for w, gradient in zip(self.parameters.values(), torch.autograd.grad(out, list(self.parameters.values()), delta), strict=True):
                w.grad = gradient.contiguous()  # the fused step takes weight and gradient for laid out alike
            self.optimizer.step()

    def copy(self, i: int) -> list[Tensor | None]:
        return [w[i].detach().clone() for w in self.parameters.values()]

    def weights(self, i: int, copied: list[Tensor | None], epochs: int) -> dict[str, Tensor]:
        return {name: w for name, w in zip(self.parameters, copied, strict=True) if w is not None}
