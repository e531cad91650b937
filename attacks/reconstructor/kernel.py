"""Kernel ridge regression from weights to images, with a Gaussian kernel: a reconstructor in closed form. The design is ours.

Width and ridge are chosen by the leave-one-out error on the shadows, which has a closed form too, so the attacker's choice costs no
shadow and never sees a secret image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

WIDTHS = (0.3, 1.0, 3.0)  # inverse squared width, in units of one over the median squared distance
RIDGES = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1)
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


def fit_kernel(shadows: Float[Tensor, "s p"], images: Float[Tensor, "s c h w"]) -> Kernel:
    """The reconstructor of the shadows, with the width and ridge of the least leave-one-out error."""
    return fit_on_distances(squared_distances(shadows, shadows), shadows, images)


def fit_on_distances(squares: Float[Tensor, "s s"], shadows: Float[Tensor, "s p"], images: Float[Tensor, "s c h w"]) -> Kernel:
    """The same where the squared distances are known already."""
    mean = images.mean(0)
    truth = (images - mean).flatten(1).double()
    few = min(CHOSEN_ON, len(shadows))
    median = squares[:few, :few].median().clamp_min(1e-30)
    best = (float("inf"), 1.0, 1.0)
    for width in WIDTHS:
        kernel = torch.exp(-width / median * squares[:few, :few]).double()
        values, vectors = torch.linalg.eigh(kernel)
        turned = vectors.mT @ truth[:few]
        for ridge in RIDGES:
            inverse = 1 / (values.clamp_min(0) + ridge)
            # leave-one-out residual of ridge regression: (K + λ)⁻¹ y over the diagonal of (K + λ)⁻¹
            residual = (vectors @ (inverse[:, None] * turned)) / ((vectors**2) @ inverse)[:, None]
            best = min(best, (float((residual**2).mean()), width, ridge))
    error, width, ridge = best
    sharpness = float(width / median)
    kernel = torch.exp(-sharpness * squares).double()
    kernel.diagonal().add_(ridge)
    coefficients = torch.cholesky_solve(truth, torch.linalg.cholesky(kernel))
    return Kernel(shadows, coefficients, mean, sharpness, ridge, error)


def squared_distances(a: Float[Tensor, "m p"], b: Float[Tensor, "n p"]) -> Float[Tensor, "m n"]:
    """‖aᵢ − bⱼ‖², never below 0; one matrix product."""
    return torch.addmm((a**2).sum(1)[:, None] + (b**2).sum(1), a, b.mT, alpha=-2).clamp_min_(0)
