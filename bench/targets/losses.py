"""Training losses: value and gradient by the output, mean over the training images.

Two classes under bce, mse and huber share one output whose sign is the answer. mse and huber on K > 2 classes fit ±1 one-hot targets.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def loss_targets(loss: str, labels: Int[Tensor, "*b n"], outputs: int) -> Float[Tensor, "*b n k"]:
    """What the outputs are compared with: 0/1 (bce), one-hot (ce), ±1 (mse, huber)."""
    t = (labels.unsqueeze(-1) if outputs == 1 else F.one_hot(labels, outputs)).double()
    return t if loss in ("bce", "ce") else 2 * t - 1


def smoothed(loss: str, target: Float[Tensor, "*b n k"], share: float) -> Float[Tensor, "*b n k"]:
    """The targets with such a share of each spread evenly over all classes (Szegedy et al. CVPR 2016)."""
    k = max(2, target.shape[-1])
    even = 1 / k if loss in ("bce", "ce") else 2 / k - 1
    return target.lerp(torch.full_like(target, even), share) if share else target


def loss_value(loss: str, out: Float[Tensor, "*b n k"], target: Float[Tensor, "*b n k"]) -> Float[Tensor, "*b"]:
    """The training loss, mean over images (mse and huber: also over outputs)."""
    if loss == "bce":
        return F.binary_cross_entropy_with_logits(out, target, reduction="none").mean((-2, -1))
    if loss == "ce":
        return -(target * F.log_softmax(out, -1)).sum(-1).mean(-1)
    if loss == "mse":
        return ((out - target) ** 2).mean((-2, -1))
    return F.huber_loss(out, target, reduction="none").mean((-2, -1))


def loss_gradient(loss: str, out: Float[Tensor, "*b n k"], target: Float[Tensor, "*b n k"]) -> Float[Tensor, "*b n k"]:
    """The gradient of `loss_value` by the outputs, in closed form."""
    n = out.shape[-2]
    if loss == "bce":
        return torch.sigmoid(out).sub_(target).div_(n)
    if loss == "ce":
        return torch.softmax(out, -1).sub_(target).div_(n)
    if loss == "mse":
        return (out - target) * (2 / (n * out.shape[-1]))
    return (out - target).clamp(-1, 1) / (n * out.shape[-1])


def loss_curvature(
    loss: str, out: Float[Tensor, "n k"], target: Float[Tensor, "n k"], moved: Float[Tensor, "*b n k"]
) -> Float[Tensor, "*b n k"]:
    """How `loss_gradient` moves with the outputs: its derivative in the direction ``moved``."""
    n = out.shape[-2]
    if loss == "bce":
        p = torch.sigmoid(out)
        return moved * (p * (1 - p) / n)
    if loss == "ce":
        p = torch.softmax(out, -1)
        weighted = moved * (p / n)
        return weighted.addcmul_(p, weighted.sum(-1, keepdim=True), value=-1)
    if loss == "mse":
        return moved * (2 / (n * out.shape[-1]))
    return moved * (((out - target).abs() < 1).to(out) / (n * out.shape[-1]))


def accuracy(out: Float[Tensor, "*b n k"], labels: Int[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
    """Share of images classified correctly, in [0, 1]."""
    return (predicted(out) == labels).double().mean(-1)


def predicted(out: Float[Tensor, "*b n k"]) -> Int[Tensor, "*b n"]:
    """The class that outputs stand for."""
    return (out[..., 0] > 0).long() if out.shape[-1] == 1 else out.argmax(-1)
