"""How near a trained network is to a KKT point, at the true training images.

For homogeneous networks trained to a margin, θ = Σᵢ λᵢ ∇θ gᵢ with λ ≥ 0 (Lyu & Li 2020; Ji & Telgarsky 2020; Haim et al. 2022,
eq. 3–6); for a loss with weight decay, θ = Σᵢ λᵢ ∇θ Φ(xᵢ) with signed λ (Buzaglo et al. 2023, eq. 7). The residual is
min over λ of ‖θ − Σᵢ λᵢ ∇θ gᵢ‖ / ‖θ‖: 0 is exact stationarity, 1 is what λ = 0 gives. No KKT attack can be expected to work where it is
near 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import nnls
from torch import Tensor

from bench.api import Architecture
from bench.targets.models import activation_function, activation_slope


def kkt_residual(
    architecture: Architecture, weights: Mapping[str, Tensor], x: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"]
) -> tuple[float, np.ndarray]:
    """Relative stationarity residual in [0, 1], and the multipliers (n, or n·k for K-output regression).

    Non-negative least squares for bce and ce, signed least squares for mse and huber. Works on the Gram matrix of the per-image gradients,
    which the layers' activations and deltas give without forming a gradient.
    """
    W = {name: w.double() for name, w in weights.items()}
    seeds, owner = _output_seeds(architecture, W, x.double(), labels)
    gram, toward = _gram(architecture, W, x.double()[owner], seeds)
    norm2 = float(sum((w * w).sum() for w in W.values()))
    if norm2 == 0:
        return 1.0, np.zeros(len(toward))
    signed = architecture.loss in ("mse", "huber")
    factor, rhs = _least_squares_form(gram, toward)
    lam = np.linalg.lstsq(factor, rhs, rcond=None)[0] if signed else nnls(factor, rhs, maxiter=100 * len(rhs))[0]
    residual2 = norm2 - 2 * lam @ toward + lam @ gram @ lam
    return float(np.sqrt(max(residual2, 0.0) / norm2)), lam


def _output_seeds(architecture: Architecture, W: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """For each constraint gᵢ its gradient by the outputs, and the image it belongs to."""
    n, k = len(x), architecture.outputs
    every = torch.arange(n)
    if architecture.loss in ("mse", "huber"):
        return torch.eye(k, dtype=torch.float64).repeat(n, 1), every.repeat_interleave(k)
    if k == 1:
        return (2.0 * labels.double() - 1).unsqueeze(1), every
    from bench.targets.models import forward

    out = forward(architecture, W, x)
    rivals = out.scatter(1, labels.unsqueeze(1), -torch.inf).argmax(1)
    one_hot = torch.nn.functional.one_hot
    return (one_hot(labels, k) - one_hot(rivals, k)).double(), every


def _gram(architecture: Architecture, W: Mapping[str, Tensor], x: Tensor, seeds: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """∇gᵢ·∇gⱼ and θ·∇gᵢ, summed over the layers: (δᵢ·δⱼ)(aᵢ·aⱼ) and δᵢᵀ W aᵢ."""
    depth = len(architecture.hidden) + 1
    activate = activation_function(architecture.activation)
    inputs, slopes, a = [], [], x.flatten(1)
    for i in range(depth):
        inputs.append(a)
        z = a @ W[f"layers.{i}.weight"].mT + W.get(f"layers.{i}.bias", torch.zeros(()))
        slopes.append(activation_slope(architecture.activation, z))
        a = activate(z)
    gram = torch.zeros(len(x), len(x), dtype=torch.float64)
    toward = torch.zeros(len(x), dtype=torch.float64)
    delta = seeds
    for i in reversed(range(depth)):
        weight, bias = W[f"layers.{i}.weight"], W.get(f"layers.{i}.bias")
        gram += (delta @ delta.mT) * (inputs[i] @ inputs[i].mT + (0.0 if bias is None else 1.0))
        toward += (delta * (inputs[i] @ weight.mT + (0.0 if bias is None else bias))).sum(1)
        if i > 0:
            delta = (delta @ weight) * slopes[i - 1]
    return gram.numpy(), toward.numpy()


def _least_squares_form(gram: np.ndarray, toward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A, y with AᵀA = gram and Aᵀy = toward, so that ‖Aλ − y‖² differs from ‖θ − Jᵀλ‖² by a constant."""
    values, vectors = np.linalg.eigh(gram)
    keep = values > values[-1] * 1e-12
    root = np.sqrt(values[keep])
    return root[:, None] * vectors[:, keep].T, (vectors[:, keep].T @ toward) / root
