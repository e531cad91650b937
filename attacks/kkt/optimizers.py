"""What steps the candidates x and the multipliers λ of a stack of runs, in place, each run with its own learning rates.

``sgd``   SGD with momentum: the papers' own.
``adam``  Adam (Kingma & Ba 2015) with a cosine schedule to zero. In the row space its coordinates are the singular directions of the first
          layer, so the per-coordinate scaling evens out a spectrum over which SGD's rate differs by orders of magnitude. It is not
          rotation-equivariant: another basis is another search. For `haim_kkt` on networks such as those of grid ``quick`` (CIFAR-10,
          photo_tiles, lfw_faces, MNIST) lr 0.1, lr_lambda 0.01, sigma 0.05 and steps 300 were chosen on seeds 100 and 101, and tried on
          103 to 106: as many hits there on faces and digits as sgd at its defaults, half as many again elsewhere, in a quarter of the
          time.

A step touches only tensors made beforehand and reads nothing back, so that it can be captured as a CUDA graph.
"""

from __future__ import annotations

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor


class Optimizer(Protocol):
    """Steps one stack."""

    def step(self, grad_x: Tensor, grad_lam: Tensor) -> None:
        """Moves x and λ by their gradients, in place."""


class SGD:
    """v ← μ v + lr·g; p ← p − v, for x and λ: momentum as PyTorch has it, the learning rate folded in to save a pass."""

    def __init__(self, x: Tensor, lam: Tensor, lr: Tensor, lr_lambda: Tensor, momentum: Tensor, steps: int) -> None:
        self.x, self.lam, self.lr, self.lr_lambda = x, lam, lr.unsqueeze(-1), lr_lambda
        self.momentum = momentum
        self.speed_x, self.speed_lam = torch.zeros_like(x), torch.zeros_like(lam)

    def step(self, grad_x: Float[Tensor, "b m d"], grad_lam: Float[Tensor, "b _"]) -> None:
        self.speed_x.mul_(self.momentum.unsqueeze(-1)).addcmul_(grad_x, self.lr)
        self.speed_lam.mul_(self.momentum).addcmul_(grad_lam, self.lr_lambda)
        self.x.sub_(self.speed_x)
        self.lam.sub_(self.speed_lam)


class Adam:
    """Adam with β = (momentum, 0.999), both learning rates falling to zero along half a cosine over the steps."""

    BETA2, EPS = 0.999, 1e-8

    def __init__(self, x: Tensor, lam: Tensor, lr: Tensor, lr_lambda: Tensor, momentum: Tensor, steps: int) -> None:
        self.params = [(x, lr.unsqueeze(-1), momentum.unsqueeze(-1)), (lam, lr_lambda, momentum)]
        self.means = [torch.zeros_like(x), torch.zeros_like(lam)]
        self.squares = [torch.zeros_like(x), torch.zeros_like(lam)]
        self.steps = steps
        self.t = torch.zeros((), dtype=x.dtype, device=x.device)

    def step(self, grad_x: Float[Tensor, "b m d"], grad_lam: Float[Tensor, "b _"]) -> None:
        self.t += 1
        schedule = 0.5 * (1 + torch.cos(torch.pi * self.t / self.steps))
        for (p, lr, beta1), mean, square, grad in zip(self.params, self.means, self.squares, (grad_x, grad_lam), strict=True):
            mean.mul_(beta1).add_((1 - beta1) * grad)
            square.mul_(self.BETA2).addcmul_(grad, grad, value=1 - self.BETA2)
            unbiased = mean / (1 - beta1**self.t)
            scale = (square / (1 - self.BETA2**self.t)).sqrt_().add_(self.EPS)
            p.sub_(lr * schedule * unbiased / scale)


OPTIMIZERS: dict[str, type[SGD] | type[Adam]] = {"sgd": SGD, "adam": Adam}
