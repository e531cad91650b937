"""Kernel ridge regression from weights to images, with a Gaussian kernel: a reconstructor in closed form. The design is ours.

Width and ridge are chosen by the leave-one-out error on the shadows, which has a closed form too, so the attacker's choice costs no
shadow and never sees a secret image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from attacks.reconstructor.blocks import solve
from bench.memory import budget

WIDTHS = (0.3, 1.0, 3.0)  # inverse squared width, in units of one over the median squared distance
RIDGES = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1)
WHOLE = 28  # bytes of a fit a pair of shadows, where all are worked on at once: 51 GiB of a GPU at 44 000 shadows
CHOSEN_ON = 600  # shadows on which width and ridge are chosen: the fit takes the cube of their number


@dataclass(frozen=True)
class Kernel:
    """A fitted reconstructor: ``kernel(rows)`` → images in [0, 1]."""

    shadows: Float[Tensor, "s p"]
    coefficients: Float[Tensor, "s d"]
    mean: Float[Tensor, "c h w"]
    sharpness: float  # γ of exp(−γ d²)
    ridge: float
    error: float  # leave-one-out MSE on the shadows that the choice was made on

    def __call__(self, rows: Float[Tensor, "t p"]) -> Float[Tensor, "t c h w"]:
        values = torch.exp(-self.sharpness * squared_distances(rows, self.shadows)).to(self.coefficients.dtype) @ self.coefficients
        return (values.view(-1, *self.mean.shape) + self.mean).float().clamp(0, 1)


def fit_kernel(shadows: Float[Tensor, "s p"], images: Float[Tensor, "s c h w"], memory: int | None = None) -> Kernel:
    """The reconstructor of the shadows, with the width and ridge of the least leave-one-out error.

    Args:
        memory: bytes that the fit may take; None: half of what is free where the shadows are. Where all distances at once would take more,
            they are made and the system is solved by blocks.
    """
    memory = budget(shadows.device) if memory is None else memory
    if WHOLE * len(shadows) ** 2 <= memory:
        return fit_on_distances(squared_distances(shadows, shadows), shadows, images)
    mean = images.mean(0)
    truth = (images - mean).flatten(1).double()
    few = shadows[:CHOSEN_ON]
    error, sharpness, ridge = _choice(squared_distances(few, few), truth[:CHOSEN_ON])

    def block(rows: slice, columns: slice) -> Tensor:
        kernel = torch.exp(-sharpness * squared_distances(shadows[rows], shadows[columns])).double()
        kernel.diagonal(rows.start - columns.start).add_(ridge)
        return kernel

    return Kernel(shadows, solve(block, truth, memory), mean, sharpness, ridge, error)


def fit_on_distances(squares: Float[Tensor, "s s"], shadows: Float[Tensor, "s p"], images: Float[Tensor, "s c h w"]) -> Kernel:
    """The same where the squared distances are known already."""
    mean = images.mean(0)
    truth = (images - mean).flatten(1).double()
    error, sharpness, ridge = _choice(squares[:CHOSEN_ON, :CHOSEN_ON], truth[:CHOSEN_ON])
    kernel = torch.exp(-sharpness * squares).double()
    kernel.diagonal().add_(ridge)
    coefficients = torch.cholesky_solve(truth, torch.linalg.cholesky(kernel))
    return Kernel(shadows, coefficients, mean, sharpness, ridge, error)


def _choice(squares: Float[Tensor, "f f"], truth: Float[Tensor, "f d"]) -> tuple[float, float, float]:
    """The least leave-one-out error on a few shadows, and the sharpness and ridge that have it."""
    median = squares.median().clamp_min(1e-30)
    best = (float("inf"), 1.0, 1.0)
    for width in WIDTHS:
        kernel = torch.exp(-width / median * squares).double()
        values, vectors = torch.linalg.eigh(kernel)
        turned = vectors.mT @ truth
        for ridge in RIDGES:
            inverse = 1 / (values.clamp_min(0) + ridge)
            # leave-one-out residual of ridge regression: (K + λ)⁻¹ y over the diagonal of (K + λ)⁻¹
            residual = (vectors @ (inverse[:, None] * turned)) / ((vectors**2) @ inverse)[:, None]
            best = min(best, (float((residual**2).mean()), width, ridge))
    error, width, ridge = best
    return error, float(width / median), ridge


def squared_distances(a: Float[Tensor, "m p"], b: Float[Tensor, "n p"]) -> Float[Tensor, "m n"]:
    """‖aᵢ − bⱼ‖², never below 0; one matrix product."""
    return torch.addmm((a**2).sum(1)[:, None] + (b**2).sum(1), a, b.mT, alpha=-2).clamp_min_(0)
