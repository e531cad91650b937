"""NCC and the protocol haim2022 on images whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.metrics.ncc import haim2022, min_max, ncc_distance, ncc_matrix, ncc_pairs


def random(n: int, shape: tuple[int, int, int] = (3, 12, 12), seed: int = 0) -> torch.Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def test_is_the_mean_over_channels_of_pearsons_correlation() -> None:
    a, b = random(4), random(3, seed=1)
    expected = [[np.mean([np.corrcoef(x[c].ravel(), y[c].ravel())[0, 1] for c in range(3)]) for y in b.numpy()] for x in a.numpy()]
    np.testing.assert_allclose(ncc_matrix(a, b).numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(ncc_pairs(a[:3], b).numpy(), np.diag(np.array(expected)[:3]), atol=1e-6)


def test_distance_is_that_of_standardised_channels() -> None:
    a, b = random(4), random(3, seed=1)

    def standard(x: torch.Tensor) -> torch.Tensor:
        return ((x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True)).flatten(1)

    expected = (standard(a)[:, None] - standard(b)[None]).square().mean(2)
    torch.testing.assert_close(ncc_distance(a, b), expected, atol=1e-5, rtol=0)


@given(st.integers(0, 2**31), st.floats(0.01, 100), st.floats(-10, 10))
def test_ignores_scale_and_offset(seed: int, scale: float, offset: float) -> None:
    a, b = random(2, (1, 6, 6), seed).double(), random(3, (1, 6, 6), seed + 1).double()
    torch.testing.assert_close(ncc_matrix(a * scale + offset, b), ncc_matrix(a, b), atol=1e-6, rtol=0)
    torch.testing.assert_close(ncc_matrix(-a, b), -ncc_matrix(a, b))
    torch.testing.assert_close(ncc_matrix(a, a).diag(), torch.ones(2, dtype=torch.float64))


def test_a_flat_image_correlates_with_nothing() -> None:
    flat = torch.full((1, 3, 12, 12), 0.3) + 1e-8 * random(1)
    assert ncc_matrix(flat, random(2)).tolist() == [[0.0, 0.0]]
    assert ncc_matrix(flat, flat).tolist() == [[0.0]]


def test_haim_finds_scaled_copies_and_undoes_their_scale() -> None:
    truth = min_max(random(4, (3, 16, 16)))  # images that use the whole range, as min–max scaling assumes
    mean = torch.zeros(3, 16, 16)
    order = torch.tensor([2, 0, 3, 1])
    candidates = truth[order] * 0.01
    result = haim2022(truth, candidates, mean)
    assert torch.equal(order[result.neighbour], torch.arange(4))
    torch.testing.assert_close(result.ssim, torch.ones(4), atol=1e-4, rtol=0)
    assert float(result.distance.max()) < 1e-5


def test_haim_allows_one_candidate_for_many_images() -> None:
    truth = random(3, (1, 16, 16))
    truth[1] = truth[0] * 0.9
    result = haim2022(truth, torch.stack([truth[0], 1 - truth[2]]), torch.zeros(1, 16, 16))
    assert result.neighbour.tolist()[:2] == [0, 0]


def test_vote_mean_averages_the_near_and_leaves_the_far() -> None:
    truth = random(1, (1, 16, 16), seed=3)
    noise = 0.2 * torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(4))
    near = torch.cat([truth + noise, truth - noise])
    far = random(1, (1, 16, 16), seed=5)
    mean = torch.zeros(1, 16, 16)
    distances = ncc_distance(truth, near)[0]
    assert float(distances.max() / distances.min()) < 1.1 < float(ncc_distance(truth, far) / distances.min())  # the case is as it is meant
    result = haim2022(truth, torch.cat([near, far]), mean, half_resolution=False, vote="mean")
    torch.testing.assert_close(result.image, min_max(truth), atol=1e-6, rtol=0)  # the noise averages out
    alone = haim2022(truth, torch.cat([near, far]), mean, half_resolution=False)
    assert float(result.ssim) > float(alone.ssim)


def test_vote_mean_at_distance_zero_is_the_image_itself() -> None:
    flat = torch.zeros(1, 1, 8, 8)
    truth = random(1, (1, 8, 8))
    result = haim2022(truth, torch.cat([truth, flat]), torch.zeros(1, 8, 8), vote="mean")
    assert result.neighbour.tolist() == [0]
    torch.testing.assert_close(result.image, min_max(truth))


def test_flat_candidates_give_numbers() -> None:
    result = haim2022(random(2, (1, 9, 9)), torch.zeros(1, 1, 9, 9), torch.full((1, 9, 9), 0.5))
    assert torch.isfinite(result.ssim).all()
    assert float(result.image.abs().max()) == 0


def test_no_candidates_is_an_error() -> None:
    with pytest.raises(BenchError, match="no candidates"):
        haim2022(random(2), random(0), torch.zeros(3, 12, 12))
