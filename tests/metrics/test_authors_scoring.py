"""Protocol haim2022 against the authors' numbers, and against numbers written down here so that the suite stands alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.metrics import lpips
from bench.metrics.ncc import haim2022
from bench.metrics.ssim import ssim_matrix, ssim_pairs

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = Path(os.environ.get("RECONBENCH_REFERENCE") or ROOT.parent / "shared" / "reference") / "scoring.npz"


@pytest.fixture(scope="module")
def reference() -> dict[str, torch.Tensor]:
    """24 CIFAR-10 images, 40 candidates (centred), and what the authors' code says of them."""
    if not REFERENCE.is_file():
        pytest.skip(f"the authors' numbers are not here: {REFERENCE} (set RECONBENCH_REFERENCE)")
    with np.load(REFERENCE) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.mark.parametrize(("prefix", "half"), [("ncc", False), ("ncc2", True)])
def test_authors_neighbours_distances_and_ssim(reference: dict[str, torch.Tensor], prefix: str, half: bool) -> None:
    truth, candidates, mean = reference["train"], reference["candidates"], reference["mean"][0]
    nearest = haim2022(truth, candidates, mean, half_resolution=half)
    assert torch.equal(nearest.neighbour, reference[f"{prefix}_nn_index"])
    torch.testing.assert_close(nearest.distance, reference[f"{prefix}_nn_dist"], atol=1e-5, rtol=0)
    torch.testing.assert_close(nearest.ssim, reference[f"{prefix}_min_ssim_w3"], atol=1e-5, rtol=0)
    averaged = haim2022(truth, candidates, mean, half_resolution=half, vote="mean")
    torch.testing.assert_close(averaged.ssim, reference[f"{prefix}_mean_ssim_w3"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("prefix", "half"), [("ncc", False), ("ncc2", True)])
def test_scikit_image_on_the_same_pairs(reference: dict[str, torch.Tensor], prefix: str, half: bool) -> None:
    truth = reference["train"]
    image = haim2022(truth, reference["candidates"], reference["mean"][0], half_resolution=half).image
    expected = reference[f"{prefix}_ssim_skimage_gaussian"]
    torch.testing.assert_close(ssim_pairs(image, truth), expected, atol=2e-6, rtol=0)
    torch.testing.assert_close(ssim_matrix(image, truth).diag(), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize(("name", "side"), [("ncc2_lpips_alex_64px_bilinear", 64), ("ncc2_lpips_alex_32px", None)])
def test_lpips_on_the_same_pairs(reference: dict[str, torch.Tensor], name: str, side: int | None) -> None:
    if lpips.unavailable():
        pytest.skip(lpips.unavailable())
    truth = reference["train"]
    image = haim2022(truth, reference["candidates"], reference["mean"][0]).image
    values = lpips.lpips_pairs(image, truth, side=side)
    assert values is not None
    torch.testing.assert_close(values, reference[name], atol=1e-4, rtol=0)


# Numbers of a plain, pixel-by-pixel implementation in float64, checked against the authors' code on the reference above.
KNOWN = {
    (3, 32, 32): {
        "neighbour": [0, 11, 4, 15, 14, 1],
        "distance": [0.018194, 0.046744, 0.093818, 0.156359, 0.119738, 0.297483],
        "ssim_w3": [0.618344, 0.753555, 0.726128, 0.679683, 0.613007, 0.696924],
        "mean_ssim_w3": [0.618277, 0.753039, 0.724572, 0.677458, 0.613007, 0.691052],
        "scikit": [0.692147, 0.785953, 0.782569, 0.756630, 0.678551, 0.753602],
    },
    (1, 25, 25): {
        "neighbour": [0, 11, 4, 15, 14, 1],
        "distance": [0.017158, 0.040478, 0.083159, 0.236600, 0.124980, 0.347224],
        "ssim_w3": [0.683391, 0.788595, 0.747131, 0.676584, 0.631294, 0.718260],
        "mean_ssim_w3": [0.683408, 0.788258, 0.745699, 0.674803, 0.631294, 0.712240],
        "scikit": [0.818481, 0.836203, 0.772905, 0.708181, 0.675820, 0.800032],
    },
}


def scene(n: int, shape: tuple[int, int, int], phase: float) -> torch.Tensor:
    """Waves and edges that depend on nothing but these numbers, in [0, 1]."""
    c, h, w = shape
    i, k, y, x = np.meshgrid(np.arange(n), np.arange(c), np.arange(h) / h, np.arange(w) / w, indexing="ij")
    waves = np.sin(2 * np.pi * ((1 + i % 3) * x + phase * (i + 1) + 0.3 * k)) * np.cos(2 * np.pi * ((1 + i % 2) * y + 0.17 * i))
    v = waves + 0.5 * np.sign(np.sin(7 * x + 11 * y + i + phase))
    return torch.from_numpy(((v - v.min()) / (v.max() - v.min())).astype(np.float32))


@pytest.mark.parametrize("shape", list(KNOWN))
def test_numbers_that_need_no_file(shape: tuple[int, int, int]) -> None:
    known = KNOWN[shape]
    truth = scene(6, shape, 0.11)
    mean = truth.mean(0)
    pile = torch.cat([scene(6, shape, phase) for phase in (0.13, 0.131, 0.3)])
    candidates = 0.3 * (pile[torch.arange(18) * 5 % 18] - mean)
    nearest = haim2022(truth, candidates, mean)
    assert nearest.neighbour.tolist() == known["neighbour"]
    np.testing.assert_allclose(nearest.distance.numpy(), known["distance"], atol=1e-5)
    np.testing.assert_allclose(nearest.ssim.numpy(), known["ssim_w3"], atol=1e-5)
    np.testing.assert_allclose(haim2022(truth, candidates, mean, vote="mean").ssim.numpy(), known["mean_ssim_w3"], atol=1e-5)
    np.testing.assert_allclose(ssim_pairs(nearest.image, truth).numpy(), known["scikit"], atol=1e-5)
