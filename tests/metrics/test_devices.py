"""Metrics work where the images are: shapes are tried on the device without data, values on a GPU where there is one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.metrics import lpips, ssim
from bench.metrics.ncc import haim2022, ncc_matrix, ncc_pairs
from bench.metrics.ssim import ssim_matrix, ssim_pairs
from bench.precision import in_force, pinned, watched

GPU = torch.device("cuda")
MANY = {
    "ssim": lambda a, b: ssim_matrix(a, b),
    "ssim w3": lambda a, b: ssim_matrix(a, b, "w3"),
    "ncc": ncc_matrix,
    "haim2022": lambda a, b: haim2022(a, b - 0.5, torch.full_like(a[0], 0.5)).ssim,
    "haim2022 by vote": lambda a, b: haim2022(a, b - 0.5, torch.full_like(a[0], 0.5), vote="mean").ssim,
}
PAIRED = {"ssim": ssim_pairs, "ssim w3": lambda a, b: ssim_pairs(a, b, "w3"), "ncc": ncc_pairs, "lpips": lpips.lpips_pairs}
TOLERANCE = {"lpips": 1e-4}  # and 1e-5 otherwise


def images(n: int, seed: int) -> Tensor:
    return torch.rand(n, 3, 24, 20, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", [*MANY, *(f"{name} of pairs" for name in PAIRED)])
def test_nothing_is_left_on_the_cpu(name: str) -> None:
    """A tensor there beside those of another device would raise, as it does on a GPU."""
    if name.startswith("lpips") and (reason := lpips.unavailable()):
        pytest.skip(reason)
    a, b = images(5, 0).to("meta"), images(4, 1).to("meta")
    got = MANY[name](a, b) if name in MANY else PAIRED[name.removesuffix(" of pairs")](a[:4], b)
    assert got is not None
    assert got.device.type == "meta"
    assert got.dtype == torch.float32
    assert tuple(got.shape) == ((4,) if name not in MANY else (5,) if name.startswith("haim") else (5, 4))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", [*MANY, *(f"{name} of pairs" for name in PAIRED)])
def test_a_gpu_gives_what_a_cpu_gives(name: str) -> None:
    if name.startswith("lpips") and (reason := lpips.unavailable()):
        pytest.skip(reason)
    kind = name.removesuffix(" of pairs")
    score, a, b = MANY.get(name) or PAIRED[kind], images(40, 0), images(40, 1)
    with pinned("tf32"):  # which the metric must not take
        got = score(a.to(GPU), b.to(GPU)).cpu()
    torch.testing.assert_close(got, score(a, b), rtol=0, atol=TOLERANCE.get(kind, 1e-5))


@pytest.mark.parametrize("name", [*MANY, *(f"{name} of pairs" for name in PAIRED)])
def test_they_round_nothing_inside_an_attack_that_does(name: str) -> None:
    a, b = images(2, 0), images(2, 1)
    with pinned("tf32"):
        with watched(GPU) as watch:
            (MANY.get(name) or PAIRED[name.removesuffix(" of pairs")])(a, b)
        assert in_force(GPU) == "tf32"
    assert watch.coarsest in ("ieee", None if name.startswith(("ncc", "lpips")) else "ieee")


def test_memory_on_a_gpu_is_planned_by_what_is_free_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of the device without data, which goes the same way."""
    asked: list[int] = []
    a, whole = images(40, 0), ssim._add_positions

    def add(block: Tensor, *given: Tensor) -> None:
        asked.append(block.numel() * len(given[2]))
        whole(block, *given)

    monkeypatch.setattr(ssim, "_add_positions", add)
    for free in (2**18, 2**24):
        monkeypatch.setattr(ssim, "budget", lambda device, free=free: free)
        asked.clear()
        ssim_matrix(a.to("meta"), a.to("meta"))
        assert max(asked) <= free / 4 / 4  # four blocks of so many float32
        assert len(asked) > 1 or free == 2**24
    pieces: list[int] = []
    monkeypatch.setattr(lpips, "unavailable", lambda: "")
    monkeypatch.setattr(lpips, "_network", lambda *given: lpips.Network((), (), (), lpips.OrderedDict()))
    monkeypatch.setattr(lpips, "_stamp", lambda path: (0, 0))
    monkeypatch.setattr(lpips, "_distance", lambda network, x, y, side: pieces.append(len(x)) or x.new_zeros(len(x)))
    monkeypatch.setattr(lpips, "budget", lambda device: 15 * lpips.PAIR)
    assert len(lpips.lpips_pairs(a.to("meta"), a.to("meta"))) == 40
    assert pieces == [15, 15, 10]
    pieces.clear()
    lpips.lpips_pairs(a, a)
    assert pieces == [40]
