"""SSIM against scikit-image in float64, and what any SSIM must satisfy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from bench.errors import BenchError
from bench.metrics.ssim import SIGMA, ssim_matrix, ssim_pairs


def images(n: int, shape: tuple[int, int, int] = (3, 32, 32), seed: int = 0) -> torch.Tensor:
    """Smooth images with edges and some noise, in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    c, h, w = shape
    coarse = torch.rand(n, c, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(h, w), mode="bilinear", align_corners=False)
    return (smooth + 0.05 * torch.randn(n, c, h, w, generator=generator)).clamp(0, 1)


def scikit(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(
        structural_similarity(
            a.double().numpy(),
            b.double().numpy(),
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
    )


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 25, 25), (3, 11, 17), (2, 13, 11)])
def test_equals_scikit_image(shape: tuple[int, int, int]) -> None:
    a, b = images(5, shape, seed=1), images(4, shape, seed=2)
    b[0] = (a[0] + 0.05).clamp(0, 1)
    expected = np.array([[scikit(x, y) for y in b] for x in a])
    np.testing.assert_allclose(ssim_matrix(a, b).numpy(), expected, atol=2e-6)
    np.testing.assert_allclose(ssim_pairs(a[:4], b).numpy(), np.diag(expected), atol=2e-6)
    np.testing.assert_allclose(ssim_matrix(a.double(), b.double()).numpy(), expected, atol=1e-12)


def test_flat_and_faint_images_do_not_cancel() -> None:
    """Where variances are far below C₂, E[x²] − E[x]² in float32 would be noise of 1e-7 against 9e-4."""
    a = torch.full((4, 3, 32, 32), 0.93)
    a[1] += 1e-4 * images(1, seed=3)[0]
    a[2, :, 10:20] = 0.931
    a[3] = 0.0
    b = a.flip(0) * 0.999
    expected = np.array([[scikit(x, y) for y in b] for x in a])
    np.testing.assert_allclose(ssim_matrix(a, b).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("window", ["gaussian", "w3"])
def test_the_memory_bound_does_not_change_the_answer(window: str) -> None:
    a, b = images(3, (2, 12, 13), seed=4), images(4, (2, 12, 13), seed=5)
    whole = ssim_matrix(a, b, window)  # type: ignore[arg-type]
    for max_bytes in (1, 10_000, 100_000):
        torch.testing.assert_close(ssim_matrix(a, b, window, max_bytes=max_bytes), whole, atol=1e-6, rtol=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("window", ["gaussian", "w3"])
def test_blocks_larger_than_a_tile(window: str, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = images(11, (1, 12, 12), seed=4), images(7, (1, 12, 12), seed=5)
    whole = ssim_matrix(a, b, window)  # type: ignore[arg-type]
    monkeypatch.setattr("bench.metrics.ssim.TILE", 4)
    torch.testing.assert_close(ssim_matrix(a, b, window), whole, atol=1e-6, rtol=0)  # type: ignore[arg-type]


def test_memory_stays_below_the_bound() -> None:
    """Largest tensor made inside, recorded by a dispatch mode."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        bytes = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            for t in out if isinstance(out, tuple | list) else (out,):
                if isinstance(t, torch.Tensor):
                    Largest.bytes = max(Largest.bytes, t.numel() * t.element_size())
            return out

    a, b = images(64, (1, 16, 16)), images(64, (1, 16, 16), seed=1)
    with Largest():
        ssim_matrix(a, b, max_bytes=2**18)
    assert Largest.bytes <= 2**18  # the inputs are 64 KiB each, all windows of one side at once would be 1.1 MB


def window_three(a: torch.Tensor, b: torch.Tensor) -> float:
    """Haim et al.'s SSIM written out pixel by pixel in NumPy."""
    line = np.exp(-(np.array([-1.0, 0.0, 1.0]) ** 2) / (2 * SIGMA**2))
    kernel = np.outer(line, line) / line.sum() ** 2
    values = []
    for x, y in zip(a.double().numpy(), b.double().numpy(), strict=True):
        x, y = np.pad(x, 1, mode="reflect"), np.pad(y, 1, mode="reflect")
        for i in range(x.shape[0] - 2):
            for j in range(x.shape[1] - 2):
                p, q = x[i : i + 3, j : j + 3], y[i : i + 3, j : j + 3]
                mp, mq = (kernel * p).sum(), (kernel * q).sum()
                vp, vq, cov = (kernel * p * p).sum() - mp**2, (kernel * q * q).sum() - mq**2, (kernel * p * q).sum() - mp * mq
                values.append((2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    return float(np.mean(values))


def test_window_three_by_definition() -> None:
    a, b = images(3, (2, 9, 7), seed=6), images(3, (2, 9, 7), seed=7)
    expected = np.array([[window_three(x, y) for y in b] for x in a])
    np.testing.assert_allclose(ssim_matrix(a, b, "w3").numpy(), expected, atol=2e-6)
    np.testing.assert_allclose(ssim_pairs(a, b, "w3").numpy(), np.diag(expected), atol=2e-6)


@given(st.integers(0, 2**31), st.sampled_from(["gaussian", "w3"]), st.integers(1, 3), st.integers(2, 14), st.integers(2, 14))
def test_properties(seed: int, window: str, c: int, h: int, w: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(3, c, h, w, generator=generator).round(decimals=seed % 3)  # some nearly binary images
    b = torch.rand(2, c, h, w, generator=generator)
    ab, ba = ssim_matrix(a, b, window), ssim_matrix(b, a, window)  # type: ignore[arg-type]
    torch.testing.assert_close(ab, ba.T, atol=1e-5, rtol=0)
    assert float(ab.abs().max()) <= 1 + 1e-6
    torch.testing.assert_close(ssim_matrix(a, a, window).diag(), torch.ones(3), atol=1e-5, rtol=0)  # type: ignore[arg-type]
    assert float((ssim_matrix(a, 1 - a, window).diag() < 1).float().mean()) == 1  # type: ignore[arg-type]
    torch.testing.assert_close(ssim_pairs(a[:2], b, window), ab.diag(), atol=1e-5, rtol=0)  # type: ignore[arg-type]


def test_small_images_use_the_largest_window_that_fits() -> None:
    a = images(2, (1, 8, 9), seed=8)
    assert ssim_matrix(a, a).shape == (2, 2)
    torch.testing.assert_close(ssim_pairs(a, a), torch.ones(2), atol=1e-6, rtol=0)
    with pytest.raises(BenchError, match="at least 2 × 2"):
        ssim_matrix(torch.zeros(1, 1, 1, 5), torch.zeros(1, 1, 1, 5))


def test_half_precision_is_worked_in_float32() -> None:
    a, b = images(2).half(), images(2, seed=1).half()
    assert ssim_matrix(a, b).dtype == torch.float32
    torch.testing.assert_close(ssim_matrix(a, b), ssim_matrix(a.float(), b.float()))


def test_inputs_are_left_alone_and_none_is_allowed() -> None:
    a, b = images(3), images(2, seed=1)
    before = a.clone(), b.clone()
    ssim_matrix(a, b), ssim_pairs(a[:2], b)
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])
    assert ssim_matrix(a[:0], b).shape == (0, 2)
    assert ssim_matrix(a, b[:0]).shape == (3, 0)
    assert ssim_pairs(a[:0], b[:0]).shape == (0,)
