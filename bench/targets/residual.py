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
from bench.targets.convolutions import activations_per_image, convolve
from bench.targets.models import activation_function, activation_slope, forward
from bench.targets.nonnegative import nonnegative

LARGE = 2000  # constraints from which on SciPy's least squares would take a minute of one core
GAP = 1e-10
GRADIENTS_AT_ONCE = 2**28  # bytes of convolutions' gradients, one a constraint, with the feature maps behind them


def kkt_residual(
    architecture: Architecture,
    weights: Mapping[str, Tensor],
    x: Float[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    device: torch.device | str = "cpu",
) -> tuple[float, np.ndarray]:
    """Relative stationarity residual in [0, 1], and the multipliers (n, or n·k for K-output regression).

    Non-negative least squares for bce and ce, signed least squares for mse and huber. Works on the Gram matrix of the per-image gradients.
    Fully connected layers add to it without forming a gradient, through their activations and deltas; the far smaller gradients of
    convolutions are formed, for as many constraints at a time as memory is meant to hold.

    Args:
        weights, x, labels: on the CPU.
        device: where the least squares of more than `LARGE` constraints are solved, to a duality gap of `GAP`·‖θ‖²; it is the only part
            that takes the cube of their number.
    """
    W = {name: w.double() for name, w in weights.items()}
    seeds, owner = _output_seeds(architecture, W, x.double(), labels)
    gram, toward = _gram(architecture, W, x.double()[owner], seeds)
    norm2 = float(sum((w * w).sum() for w in W.values()))
    if norm2 == 0:
        return 1.0, np.zeros(len(toward))
    signed = architecture.loss in ("mse", "huber")
    lam = None if signed or len(toward) <= LARGE else _of_many(gram, toward, GAP * norm2, device)
    if lam is None:
        factor, rhs = _least_squares_form(gram, toward)
        lam = np.linalg.lstsq(factor, rhs, rcond=None)[0] if signed else nnls(factor, rhs, maxiter=100 * len(rhs))[0]
    residual2 = norm2 - 2 * lam @ toward + lam @ gram @ lam
    return float(np.sqrt(max(residual2, 0.0) / norm2)), lam


def _of_many(gram: np.ndarray, toward: np.ndarray, gap: float, device: torch.device | str) -> np.ndarray | None:
    """Non-negative multipliers by pivoting, or None where they are not within a gap of the least."""
    lam, above = nonnegative(torch.from_numpy(gram).to(device), torch.from_numpy(toward).to(device))
    return lam.cpu().numpy() if above <= gap else None


def _output_seeds(architecture: Architecture, W: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """For each constraint gᵢ its gradient by the outputs, and the image it belongs to."""
    n, k = len(x), architecture.outputs
    every = torch.arange(n)
    if architecture.loss in ("mse", "huber"):
        return torch.eye(k, dtype=torch.float64).repeat(n, 1), every.repeat_interleave(k)
    if k == 1:
        return (2.0 * labels.double() - 1).unsqueeze(1), every
    out = forward(architecture, W, x)
    rivals = out.scatter(1, labels.unsqueeze(1), -torch.inf).argmax(1)
    one_hot = torch.nn.functional.one_hot
    return (one_hot(labels, k) - one_hot(rivals, k)).double(), every


def _gram(architecture: Architecture, W: Mapping[str, Tensor], x: Tensor, seeds: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """∇gᵢ·∇gⱼ and θ·∇gᵢ, summed over the layers."""
    if not architecture.channels:
        gram, toward = _of_dense_layers(architecture, W, x.flatten(1), seeds)
        return gram.numpy(), toward.numpy()
    convolutions = {n: w for n, w in W.items() if int(n.split(".")[1]) < len(architecture.channels)}
    numbers = sum(w.numel() for w in convolutions.values()) + 4 * activations_per_image(architecture)
    theta = torch.cat([w.flatten() for w in convolutions.values()])
    parts = torch.arange(len(x)).split(max(1, GRADIENTS_AT_ONCE // (8 * numbers)))
    activate = activation_function(architecture.activation)
    features = torch.cat([convolve(architecture, W, x[rows], activate) for rows in parts])
    gram, toward = _of_dense_layers(architecture, W, features, seeds)
    for i, rows in enumerate(parts):
        mine = _by_convolutions(architecture, W, convolutions, x[rows], seeds[rows])
        toward[rows] += mine @ theta
        for columns in parts[i:]:
            other = mine if columns is rows else _by_convolutions(architecture, W, convolutions, x[columns], seeds[columns])
            block = mine @ other.mT
            gram[rows[:, None], columns] += block
            if columns is not rows:
                gram[columns[:, None], rows] += block.mT
    return gram.numpy(), toward.numpy()


def _by_convolutions(
    architecture: Architecture, W: Mapping[str, Tensor], convolutions: Mapping[str, Tensor], x: Tensor, seeds: Tensor
) -> Float[Tensor, "n p"]:
    """The gradient of each gᵢ by the parameters of the convolutions: each constraint gets a copy of them, and one image."""
    copies = {name: w.expand(len(x), *w.shape).clone().requires_grad_() for name, w in convolutions.items()}
    out = forward(architecture, {**W, **copies}, x.unsqueeze(1))
    gradients = torch.autograd.grad((out[:, 0] * seeds).sum(), list(copies.values()))
    return torch.cat([g.flatten(1) for g in gradients], 1)


def _of_dense_layers(architecture: Architecture, W: Mapping[str, Tensor], a: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    """The part of the fully connected layers, with a what goes into the first of them: (δᵢ·δⱼ)(aᵢ·aⱼ) and δᵢᵀ W aᵢ."""
    layers = range(len(architecture.channels), len(architecture.channels) + len(architecture.hidden) + 1)
    activate = activation_function(architecture.activation)
    inputs, slopes = {}, {}
    for i in layers:
        inputs[i] = a
        z = a @ W[f"layers.{i}.weight"].mT + W.get(f"layers.{i}.bias", torch.zeros(()))
        slopes[i] = activation_slope(architecture.activation, z)
        a = activate(z)
    gram = torch.zeros(len(a), len(a), dtype=torch.float64)
    toward = torch.zeros(len(a), dtype=torch.float64)
    delta = seeds
    for i in reversed(layers):
        weight, bias = W[f"layers.{i}.weight"], W.get(f"layers.{i}.bias")
        gram += (delta @ delta.mT) * (inputs[i] @ inputs[i].mT + (0.0 if bias is None else 1.0))
        toward += (delta * (inputs[i] @ weight.mT + (0.0 if bias is None else bias))).sum(1)
        if i > layers[0]:
            delta = (delta @ weight) * slopes[i - 1]
    return gram, toward


def _least_squares_form(gram: np.ndarray, toward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A, y with AᵀA = gram and Aᵀy = toward, so that ‖Aλ − y‖² differs from ‖θ − Jᵀλ‖² by a constant."""
    values, vectors = np.linalg.eigh(gram)
    keep = values > values[-1] * 1e-12
    root = np.sqrt(values[keep])
    return root[:, None] * vectors[:, keep].T, (vectors[:, keep].T @ toward) / root
