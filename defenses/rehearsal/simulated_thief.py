"""A thief in closed form: a ridge regression of the owner's outputs in the tangent kernel of a wide network.

A wide network that is fitted to outputs by gradient descent ends where regression in its neural tangent kernel does (Jacot et al. NeurIPS
2018). What such a thief answers to a planted input is therefore linear in what the owner answered to the questions, and the owner can train
through it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def tangent_kernel(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Neural tangent kernel of an infinitely wide ReLU network with one hidden layer and biases, up to a factor.

    With u = (x, 1), and θ the angle between two of them, ⟨u, u'⟩ κ₀(θ) + |u||u'| κ₁(θ) + 1, the arc-cosine kernels κ₀ and κ₁ being those of
    Cho and Saul (NeurIPS 2009), scaled to 1 at θ = 0; the last term is the bias of the output.
    """
    u, v = (torch.cat([x, torch.ones_like(x[:, :1])], 1) for x in (a, b))
    inner, norms = u @ v.T, u.norm(dim=1)[:, None] * v.norm(dim=1)
    cosine = (inner / norms).clamp(-1, 1)
    angle = cosine.acos()
    flat = 1 - angle / torch.pi
    return inner * flat + norms * (angle.sin() / torch.pi + flat * cosine) + 1


def answers_of(questions: Float[Tensor, "q d"], inputs: Float[Tensor, "p d"], ridge: float) -> Float[Tensor, "p q"]:
    """The matrix by which a simulated thief's answers to some inputs follow from the owner's answers to its questions.

    Args:
        questions: centred and flattened, as the inputs are.
        ridge: relative to the mean of the kernel's diagonal; above 0.
    """
    kernel = tangent_kernel(questions.double(), questions.double())
    kernel = kernel + ridge * kernel.diagonal().mean() * torch.eye(len(kernel), dtype=kernel.dtype)
    return torch.linalg.solve(kernel, tangent_kernel(questions.double(), inputs.double())).T.to(questions.dtype)
