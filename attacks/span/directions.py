"""The directions of pixel space that training has moved the first layer in.

Gradient descent on full batches makes W₁(T) = ρ W₁(0) + C X: the rows of X are the centred training images, ρ is what weight decay leaves
of the start. So the training images lie in the span of the leading right singular vectors, as far as these stand out of the noise ρ W₁(0).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

ROUNDING = 1e-5  # singular values below this share of the largest one are rounding errors of a training in float32


@dataclass(frozen=True)
class Spectrum:
    """Singular values and vectors of weighted sums of training images and noise, decomposed once for several edges of the noise."""

    rows: Float[Tensor, "u d"]  # float64
    values: Float[Tensor, " k"]  # the largest first
    vectors: Float[Tensor, "k k"]  # of the shorter side, in columns

    @classmethod
    def of(cls, rows: Float[Tensor, "u d"]) -> Spectrum:
        """By the Gram matrix of the shorter side."""
        rows = rows.double()
        squares, vectors = torch.linalg.eigh(rows @ rows.mT if rows.shape[1] > rows.shape[0] else rows.mT @ rows)
        return cls(rows, squares.flip(0).clamp_min(0).sqrt(), vectors.flip(1))

    def directions(self, n: int, above: float) -> Float[Tensor, "r d"]:
        """See `directions`."""
        rounding = ROUNDING * float(self.values[0])
        least = max(above * noise_edge(self.values, self.rows.shape, n), rounding)
        r = min(max(int((self.values > least).sum()), 2), n, int((self.values > rounding).sum()))
        wide = self.rows.shape[1] > self.rows.shape[0]
        leading = self.vectors[:, :r]
        return torch.linalg.qr(self.rows.mT @ leading if wide else leading)[0].mT


def directions(rows: Float[Tensor, "u d"], n: int, above: float) -> Float[Tensor, "r d"]:
    """Orthonormal right singular vectors, float64, of the singular values above the noise: at least two where there are, at most n.

    Args:
        rows: the first layer, its change, or gradients by the input: weighted sums of training images, and noise.
        n: training images.
        above: how many times the edge of the noise (see `noise_edge`) a singular value must reach.
    """
    return Spectrum.of(rows).directions(n, above)


def noise_edge(values: Float[Tensor, " k"], shape: tuple[int, ...] | torch.Size, n: int) -> float:
    """The largest singular value that noise alone would have, if the values beyond the first 2n are noise.

    The law of Marchenko and Pastur (1967) gives the spectrum of independent entries of one variance; the variance is read off the median
    of the values that are surely noise, as Gavish and Donoho (2014) do. 0 where a layer has too few units to tell.

    Args:
        values: singular values, the largest first.
    """
    small, large = sorted(shape)
    noise = small - n  # values of the noise, of which the n largest are left out below
    tail = values[2 * n :]
    if len(tail) < max(n // 2, 8):
        return 0.0
    ratio = small / large
    low, high = (1 - ratio**0.5) ** 2, (1 + ratio**0.5) ** 2
    x = torch.linspace(low, high, 4097, dtype=torch.float64)[1:-1]
    mass = ((x - low) * (high - x)).sqrt() / x
    below = mass.cumsum(0) / mass.sum()
    typical = x[int((below < len(tail) / noise / 2).sum())].sqrt()  # the median of the tail, in standard deviations times √large
    return float(tail.median() / typical) * high**0.5
