"""Structural similarity of every image with every other, as one tensor program of bounded memory.

SSIM compares two images window by window: at each position the weighted mean, variance and covariance of the two windows are put into

    S = (2 μa μb + C₁)(2 cov + C₂) / ((μa² + μb² + C₁)(va + vb + C₂)),   C₁ = 0.01², C₂ = 0.03²

and S is averaged over positions and channels (Wang, Bovik, Sheikh and Simoncelli 2004, IEEE TIP 13(4), eq. 13). At one position the
covariances of all pairs are a matrix product of the windows, each with its own mean removed. So the work is one GEMM a position, and
nothing cancels: float32 agrees with scikit-image's float64 to about 1e-6 on flat images as well.

Two windows are defined:

``gaussian``
    11 × 11 Gaussian, σ = 1.5, only where the whole window lies inside the image: scikit-image's ``structural_similarity(...,
    gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)``, which filters with reflection and then cuts off the
    border that reflection touched. On images below 11 px scikit-image gives up; here the window is then the largest odd square that fits.
``w3``
    3 × 3 Gaussian, σ = 1.5, at every position, the image continued by reflection: the SSIM behind the counts of Haim et al. 2022
    (their code calls kornia's ``ssim`` with ``window_size=3``; the window is not uniform).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.api import Metric
from bench.errors import BenchError
from bench.memory import budget
from bench.precision import pinned
from bench.registry import register

Window = Literal["gaussian", "w3"]
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2
MAX_BYTES = 256 * 2**20  # on a CPU
ON_A_GPU = 4 * 2**30  # of its free memory; more gains nothing
TILE = 1024  # images a side of one block of pairs
GROUP = 32  # positions summed before they are added to the total
CPU_BLOCK = 2**18  # pairs × positions worked on at once on a CPU: 1 MB, which stays in cache between the passes, as their windows do


@register
class Ssim(Metric):
    """SSIM (Gaussian window)."""

    name: ClassVar[str] = "ssim"
    label: ClassVar[str] = "SSIM"
    range: ClassVar[tuple[float, float | None]] = (-1.0, 1.0)
    better: ClassVar[str] = "higher"
    worst: ClassVar[float | None] = 0.0
    statistics: ClassVar[tuple[str, ...]] = ("median", "mean")

    def pairs(self, a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """See `ssim_pairs`."""
        return ssim_pairs(a, b, "gaussian")


@register
class SsimW3(Metric):
    """SSIM in the authors' window (3x3 Gaussian, std 1.5)."""

    name: ClassVar[str] = "ssim_w3"
    label: ClassVar[str] = "SSIM, window 3"
    range: ClassVar[tuple[float, float | None]] = (-1.0, 1.0)
    better: ClassVar[str] = "higher"
    statistics: ClassVar[tuple[str, ...]] = ()

    def pairs(self, a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """See `ssim_pairs`."""
        return ssim_pairs(a, b, "w3")


@pinned()
def ssim_matrix(
    a: Float[Tensor, "m c h w"], b: Float[Tensor, "n c h w"], window: Window = "gaussian", max_bytes: int | None = None
) -> Float[Tensor, "m n"]:
    """SSIM of every image of ``a`` with every image of ``b``; images in [0, 1] (not clipped here), result in [-1, 1].

    Args:
        a: the rows.
        b: the columns, of the same shape, on the same device.
        window: ``gaussian`` (scikit-image) or ``w3`` (Haim et al.); see the module's docstring.
        max_bytes: roughly how much memory the intermediate results may take, the answer itself not counted; None: ``MAX_BYTES`` on a
            CPU, and half of what is free on a GPU, at most ``ON_A_GPU``.

    Raises:
        BenchError: the images differ in shape, or are too small for the window.
    """
    dtype = working(a, b)
    if max_bytes is None:
        max_bytes = min(ON_A_GPU, budget(a.device)) if a.device.type != "cpu" else MAX_BYTES
    positions, weights = _windows(tuple(a.shape[1:]), tuple(b.shape[1:]), window)
    positions, weights = positions.to(a.device), weights.to(a.device, dtype)
    # Pixels first: gathering a window is then copying whole rows.
    pixels_a = a.to(dtype).flatten(1).T.contiguous()
    pixels_b = b.to(dtype).flatten(1).T.contiguous()
    result = torch.zeros(len(a), len(b), dtype=dtype, device=a.device)
    taps = positions.shape[1]
    numbers = max(1, max_bytes // dtype.itemsize)
    side = max(1, min(TILE, int((numbers / 8) ** 0.5), numbers // (8 * taps)))
    for top in range(0, len(a), side):
        for left in range(0, len(b), side):
            tile_a, tile_b = pixels_a[:, top : top + side], pixels_b[:, left : left + side]
            m, n = tile_a.shape[1], tile_b.shape[1]
            # A position costs four blocks of m·n and three copies of each side's windows.
            at_once = numbers // (4 * m * n + 3 * taps * (m + n))
            if a.device.type == "cpu":
                at_once = min(at_once, CPU_BLOCK // (m * n))
            block = result[top : top + side, left : left + side]
            # Summed by groups: one float32 running sum over thousands of positions would lose the fifth digit.
            for group in positions.split(max(1, at_once, GROUP)):
                part = torch.zeros_like(block)
                for where in group.split(max(1, at_once)):
                    _add_positions(part, tile_a, tile_b, where, weights)
                block += part
    return result.div_(len(positions))


@pinned()
def ssim_pairs(a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"], window: Window = "gaussian") -> Float[Tensor, " n"]:
    """SSIM of ``a[i]`` with ``b[i]``; images in [0, 1], result in [-1, 1]. Raises as ``ssim_matrix``."""
    dtype = working(a, b)
    positions, weights = _windows(tuple(a.shape[1:]), tuple(b.shape[1:]), window)
    positions, weights = positions.to(a.device), weights.to(a.device, dtype)
    pixels_a, pixels_b = a.to(dtype).flatten(1).T, b.to(dtype).flatten(1).T
    result = torch.zeros(len(a), dtype=dtype, device=a.device)
    at_once = max(1, (CPU_BLOCK if a.device.type == "cpu" else 2**22) // (positions.shape[1] * max(1, len(a))))
    for where in positions.split(at_once):
        mean_a, var_a, centred_a = _moments(pixels_a[where], weights)
        mean_b, var_b, centred_b = _moments(pixels_b[where], weights)
        covariance = weights @ centred_a.mul_(centred_b)
        luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
        result += (luminance * (2 * covariance + C2) / (var_a + var_b + C2)).sum(0)
    return result.div_(len(positions))


def _add_positions(
    block: Float[Tensor, "m n"],
    pixels_a: Float[Tensor, "d m"],
    pixels_b: Float[Tensor, "d n"],
    where: Int[Tensor, "p t"],
    weights: Float[Tensor, " t"],
) -> None:
    """Adds S at the positions ``where`` to ``block``, for all pairs."""
    mean_a, var_a, centred_a = _moments(pixels_a[where], weights)
    mean_b, var_b, centred_b = _moments(pixels_b[where], weights)
    mean_a, var_a = mean_a.unsqueeze(2), var_a.unsqueeze(2)
    mean_b, var_b = mean_b.unsqueeze(1), var_b.unsqueeze(1)
    # As few passes over the p × m × n block as there can be; each is bound by memory, not by arithmetic.
    constants = block.new_tensor([C1, C2]).view(2, 1, 1, 1)
    weighted_a = centred_a.mul_(2 * weights.view(1, -1, 1)).transpose(1, 2)
    numerator = torch.baddbmm(constants[1], weighted_a, centred_b)
    numerator.mul_(torch.addcmul(constants[0], mean_a, 2 * mean_b))
    denominator = (mean_a * mean_a + C1) + mean_b * mean_b
    denominator.mul_((var_a + C2) + var_b)
    if len(where) == 1:
        block.addcdiv_(numerator[0], denominator[0])
    else:
        block.add_(numerator.div_(denominator).sum(0))


def _moments(
    windows: Float[Tensor, "p t n"], weights: Float[Tensor, " t"]
) -> tuple[Float[Tensor, "p n"], Float[Tensor, "p n"], Float[Tensor, "p t n"]]:
    """Weighted mean and variance of each window, and the windows less their means (in place of ``windows``)."""
    mean = weights @ windows  # for few images these sums take longer than their pairs; einsum would take four times as long
    centred = windows.sub_(mean.unsqueeze(1))
    return mean, weights @ centred.square(), centred


def _windows(shape: tuple[int, ...], other: tuple[int, ...], window: Window) -> tuple[Int[Tensor, "p t"], Float[Tensor, " t"]]:
    """Pixel numbers (in a flattened c·h·w image) under each window, and the window's weights, which sum to 1."""
    if shape != other:
        raise BenchError("SSIM of images of different shapes", expected=f"c, h, w = {shape}, as the first", got=f"{other}")
    channels, height, width = shape
    shortest = min(height, width)
    if shortest < 2:
        raise BenchError("image too small for SSIM", expected="at least 2 × 2 pixels", got=f"{height} × {width}")
    size = min(11, shortest - 1 + shortest % 2) if window == "gaussian" else 3
    offsets = torch.arange(size) - size // 2
    line = torch.exp(-(offsets.double() ** 2) / (2 * SIGMA**2))
    line = line / line.sum()
    if window == "gaussian":
        rows = torch.arange(height - size + 1)[:, None] + torch.arange(size)
        columns = torch.arange(width - size + 1)[:, None] + torch.arange(size)
    else:
        rows = _reflect(torch.arange(height)[:, None] + offsets, height)
        columns = _reflect(torch.arange(width)[:, None] + offsets, width)
    plane = rows[:, None, :, None] * width + columns[None, :, None, :]
    planes = torch.arange(channels).view(-1, 1, 1, 1, 1) * (height * width) + plane
    return planes.reshape(-1, size * size), torch.outer(line, line).flatten()


def _reflect(index: Int[Tensor, "p t"], length: int) -> Int[Tensor, "p t"]:
    """-1 becomes 1 and ``length`` becomes ``length`` − 2: reflection that does not repeat the edge."""
    return (length - 1) - ((length - 1) - index.abs()).abs()


def working(a: Tensor, b: Tensor) -> torch.dtype:
    """The type to compute and to answer in: at least float32, float64 where either is. On a GPU as on a CPU, without TF32, which would lose
    the third digit: so the two agree to 1e-5."""
    return torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
