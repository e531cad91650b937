"""The alternative to our attack step: what the papers' code does, in plain PyTorch.

The weights' gradient of Σ λᵢ yᵢ Φ(xᵢ)/m is taken with ``create_graph=True`` through a ReLU whose backward is σ(αz), and the squared
distance to the weights is differentiated again; candidates are full images; two SGD optimisers with momentum 0.9 (Haim et al. 2022,
github.com/nivha/dataset_reconstruction). Their ``loss.backward()`` also computes gradients by the weights, which nobody reads;
``spare=True`` leaves these out, a kindness to the alternative that the tables state beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from attacks.haim_kkt import HaimKKT


class _SmoothedReLU(torch.autograd.Function):
    """relu forward, σ(αz) backward."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, alpha: float) -> Tensor:
        ctx.save_for_backward(z)
        ctx.alpha = alpha
        return torch.relu(z)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (z,) = ctx.saved_tensors
        return grad * torch.sigmoid(ctx.alpha * z), None


class DoubleBackward:
    """One run of the attack, stepped by hand.

    Args:
        weights: ``layers.L.weight`` (out × in) and ``layers.0.bias``, as released.
        x: centred candidates (m × D) at the start; ``lam``: their multipliers (m).
        attack: the hyperparameters: lr, lr_lambda, min_lambda, alpha, momentum.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        x: Tensor,
        lam: Tensor,
        attack: HaimKKT,
        *,
        dtype: torch.dtype = torch.float64,
        spare: bool = False,
    ) -> None:
        self.weights = {name: w.detach().to(dtype).clone().requires_grad_() for name, w in weights.items()}
        self.x = x.detach().to(dtype).clone().requires_grad_()
        self.lam = lam.detach().to(dtype).clone().requires_grad_()
        self.attack, self.spare = attack, spare
        m = len(x)
        self.sign = torch.ones(m, dtype=dtype, device=x.device)
        self.sign[: m - m // 2] = -1  # the first half (of an odd number: the larger) is the negative side
        self.by_x = torch.optim.SGD([self.x], lr=attack.lr, momentum=attack.momentum)
        self.by_lam = torch.optim.SGD([self.lam], lr=attack.lr_lambda, momentum=attack.momentum)

    def outputs(self) -> Tensor:
        """Φ(x) through the smoothed ReLU."""
        a = self.x
        layers = sum(1 for name in self.weights if name.endswith("weight"))
        for i in range(layers):
            a = torch.nn.functional.linear(a, self.weights[f"layers.{i}.weight"], self.weights.get(f"layers.{i}.bias"))
            if i < layers - 1:
                a = _SmoothedReLU.apply(a, self.attack.alpha)
        return a.squeeze(-1)

    def kkt(self) -> Tensor:
        """L_KKT, differentiable."""
        value = self.outputs() * self.lam * self.sign
        grads = torch.autograd.grad(value, list(self.weights.values()), torch.ones_like(value) / len(value), create_graph=True)
        return sum(((w.detach() - g).pow(2).sum() for w, g in zip(self.weights.values(), grads, strict=True)), value.new_zeros(()))

    def prior(self) -> Tensor:
        """L_prior."""
        box = (self.x - 1).relu().pow(2).sum() + (-1 - self.x).relu().pow(2).sum()
        return box + 5 * (self.attack.min_lambda - self.lam).relu().pow(2).sum()

    def step(self) -> float:
        """One step; returns L_KKT before it."""
        kkt = self.kkt()
        value = kkt.item()  # theirs looks for NaN in every step
        self.by_x.zero_grad()
        self.by_lam.zero_grad()
        (kkt + self.prior()).backward(inputs=[self.x, self.lam] if self.spare else None)
        self.by_x.step()
        self.by_lam.step()
        return value
