"""PSNR by its formula and against scikit-image."""

from __future__ import annotations

import torch
from skimage.metrics import peak_signal_noise_ratio

from bench.metrics.psnr import psnr_pairs


def test_equals_scikit_image() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(3, 3, 8, 8, generator=generator), torch.rand(3, 3, 8, 8, generator=generator)
    expected = [peak_signal_noise_ratio(x.double().numpy(), y.double().numpy(), data_range=1) for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(psnr_pairs(a, b).double(), torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=0)


def test_known_values() -> None:
    a = torch.zeros(3, 1, 4, 4)
    b = torch.stack([torch.full((1, 4, 4), v) for v in (0.1, 1.0, 0.0)])
    torch.testing.assert_close(psnr_pairs(a, b), torch.tensor([20.0, 0.0, 100.0]), atol=1e-5, rtol=0)
