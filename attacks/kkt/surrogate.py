"""ReLU forward, slope σ(αz) backward (Haim et al. 2022, appendix A): a usable second derivative for networks made of kinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

KINKED = {"relu": 0.0, "leaky_relu": 0.01}  # name → slope below 0
SATURATED = 40.0  # σ(±40) is 0 or 1 to 4e-18; beyond it the exponential is many times slower and runs into denormal numbers


class _Kinked(torch.autograd.Function):
    """max(z, s·z) forward; s + (1 − s)·σ(αz) as its derivative, itself differentiable."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, alpha: Tensor, low: float) -> Tensor:
        ctx.save_for_backward(z, alpha)
        ctx.low = low
        return torch.where(z > 0, z, low * z) if low else z.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        z, alpha = ctx.saved_tensors
        return grad * kinked_slope(z, alpha, ctx.low), None, None


def kinked_slope(z: Tensor, alpha: Tensor, low: float, out: Tensor | None = None) -> Tensor:
    """The smoothed derivative s + (1 − s)·σ(αz), in (s, 1).

    Args:
        out: where it goes, in place of a new tensor; only where no gradient is recorded.
    """
    if torch.is_grad_enabled():
        soft = torch.sigmoid(alpha * z)
        return low + (1 - low) * soft if low else soft
    soft = torch.mul(z, alpha, out=out).clamp_(-SATURATED, SATURATED).sigmoid_()
    return soft.mul_(1 - low).add_(low) if low else soft


def activation(name: str, alpha: Tensor) -> Callable[[Tensor], Tensor]:
    """The activation as the attack uses it: kinked ones with the smoothed derivative, smooth ones as they are.

    Args:
        alpha: sharpness of the smoothed slope, > 0; broadcasts against the pre-activations (one per stacked run).
    """
    if name in KINKED:
        return lambda z: _Kinked.apply(z, alpha, KINKED[name])
    smooth: dict[str, Callable[[Tensor], Tensor]] = {
        "elu": F.elu,
        "gelu": F.gelu,
        "silu": F.silu,
        "softplus": F.softplus,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
    }
    return smooth[name]


def slope(name: str, z: Tensor, a: Tensor, alpha: Tensor) -> Tensor:
    """The derivative of `activation` at pre-activation z with value a, differentiable in z."""
    if name in KINKED:
        return kinked_slope(z, alpha, KINKED[name])
    if name == "elu":
        return torch.where(z > 0, torch.ones_like(z), torch.exp(z.clamp(max=0)))
    if name == "gelu":
        return torch.special.ndtr(z) + z * torch.exp(-0.5 * z * z) * 0.3989422804014327
    if name == "silu":
        s = torch.sigmoid(z)
        return s * (1 + z * (1 - s))
    if name == "softplus":
        return torch.sigmoid(z)
    if name == "tanh":
        return 1 - a * a
    return a * (1 - a)  # sigmoid


def curvature_times(name: str, t: Tensor, z: Tensor, a: Tensor, s: Tensor, alpha: Tensor) -> Tensor:
    """t times the derivative of `slope` by z, given the activation's value a and slope s there. Overwrites t."""
    if name == "relu":  # ασ(1 − σ)t, in as few passes as there can be
        return t.addcmul_(t, s, value=-1).mul_(s).mul_(alpha)
    if name in KINKED:
        low = KINKED[name]
        soft = (s - low) / (1 - low)
        return t.mul_(soft).mul_(1 - soft).mul_(alpha * (1 - low))
    if name == "elu":
        return t.mul_(torch.where(z > 0, torch.zeros_like(z), s))
    if name == "gelu":
        return t.mul_((2 - z * z) * torch.exp(-0.5 * z * z) * 0.3989422804014327)
    if name == "silu":
        g = torch.sigmoid(z)
        return t.mul_(g * (1 - g) * (2 + z * (1 - 2 * g)))
    if name == "softplus":
        return t.mul_(s * (1 - s))
    if name == "tanh":
        return t.mul_(-2 * a * s)
    return t.mul_(s * (1 - 2 * a))  # sigmoid


def into_preactivation(name: str, upper: Tensor, t: Tensor, z: Tensor, a: Tensor, s: Tensor, alpha: Tensor) -> Tensor:
    """upper ∘ s + t ∘ (the derivative of `slope`), where z, a and s are pre-activation, value and slope. Overwrites upper and t."""
    if name == "relu":  # s ∘ (upper + α(1 − s)t): two passes fewer
        return upper.addcmul_(t.addcmul_(t, s, value=-1), alpha).mul_(s)
    return upper.mul_(s).add_(curvature_times(name, t, z, a, s, alpha))
