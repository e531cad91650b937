"""LPIPS under the genuine weights has known values; under any others there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.metrics import lpips

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT.parent / "shared" / "reference" / "scoring.npz"


@pytest.fixture
def genuine() -> None:
    """The weights that this machine has fetched, or a visible skip."""
    if reason := lpips.unavailable():
        pytest.skip(reason)


def photograph() -> torch.Tensor:
    """A smooth coloured picture from a formula, 1 × 3 × 40 × 40 in [0, 1]."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 40), torch.linspace(0, 1, 40), indexing="ij")
    return torch.stack([(6 * x).sin() * (5 * y).cos(), (3 * x + 4 * y).sin(), (9 * x * y).cos()])[None] / 2 + 0.5


@pytest.mark.usefixtures("genuine")
def test_known_values() -> None:
    a = photograph()
    b = a.roll(5, 3)
    y, x = torch.meshgrid(torch.arange(40), torch.arange(40), indexing="ij")
    checked = (a + 0.2 * ((x // 4 + y // 4) % 2)).clamp(0, 1)
    values = lpips.lpips_pairs(torch.cat([a, a, a]), torch.cat([b, checked, a.flip(3)]))
    assert values is not None
    assert values.tolist() == pytest.approx(KNOWN, abs=1e-4)


KNOWN = [0.18232, 0.37705, 0.34414]  # moved, under a grid, mirrored


@pytest.mark.usefixtures("genuine")
def test_range_symmetry_and_shapes() -> None:
    a, b = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0)).split([2, 3])
    pairs = lpips.lpips_pairs(a, b[:2])
    swapped = lpips.lpips_pairs(b[:2], a)
    assert pairs is not None
    assert swapped is not None
    assert pairs.shape == (2,)
    assert (pairs > 0).all()
    assert torch.allclose(pairs, swapped, atol=1e-6)
    same = lpips.lpips_pairs(a, a)
    assert same is not None
    assert same.abs().max() < 1e-7
    one_by_one = lpips.lpips_pairs(a, b[:2], batch=1)
    assert one_by_one is not None
    assert torch.allclose(one_by_one, pairs, atol=1e-6)
    empty = lpips.lpips_pairs(a[:0], a[:0])
    assert empty is not None
    assert empty.shape == (0,)


@pytest.mark.usefixtures("genuine")
def test_grey_is_repeated_to_rgb() -> None:
    a, b = torch.rand(6, 1, 25, 25, generator=torch.Generator().manual_seed(1)).split(3)
    grey, colour = lpips.lpips_pairs(a, b), lpips.lpips_pairs(a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1))
    assert grey is not None
    assert colour is not None
    assert torch.allclose(grey, colour, atol=1e-6)


@pytest.mark.usefixtures("genuine")
@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
def test_it_equals_the_authors_package() -> None:
    """The same weights in the network of the ``lpips`` package, whose own loading is never used."""
    from bench.data.torchvision_import import torchvision_module

    torchvision_module("models")
    package = pytest.importorskip("lpips")
    theirs = package.LPIPS(net="alex", pnet_rand=True, verbose=False)
    for name, value in load_file(lpips.weights_path()).items():
        _, layer, part = name.split(".")
        (own,) = (p for key, p in theirs.net.named_parameters() if key.endswith(f".{layer}.{part}"))
        own.data.copy_(value)
    a, b = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(2)).split(4)
    with torch.no_grad():
        expected = theirs(a, b, normalize=True).reshape(-1)
    got = lpips.lpips_pairs(a, b)
    assert got is not None
    assert torch.allclose(got, expected, atol=1e-6)


@pytest.mark.usefixtures("genuine")
@pytest.mark.skipif(not REFERENCE.is_file(), reason=f"the reference numbers are not here: {REFERENCE}")
@pytest.mark.parametrize(("side", "column"), [(64, "ncc2_lpips_alex_64px_bilinear"), (None, "ncc2_lpips_alex_32px")])
def test_it_equals_the_reference_numbers(side: int | None, column: str) -> None:
    with np.load(REFERENCE) as reference:
        truth, expected = torch.from_numpy(reference["train"]), reference[column]
        chosen = torch.from_numpy(reference["candidates"][reference["ncc2_nn_index"]] + reference["mean"])
    low, high = chosen.amin((1, 2, 3), keepdim=True), chosen.amax((1, 2, 3), keepdim=True)
    got = lpips.lpips_pairs(truth, (chosen - low) / (high - low), side=side)
    assert got is not None
    assert np.abs(got.numpy() - expected).max() < 1e-4


def random_weights() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    weights = {f"features.{i}.weight": torch.randn(shape, generator=g) * 0.05 for i, shape in lpips.SHAPES.items()}
    return weights | {f"features.{i}.bias": torch.zeros(shape[0]) for i, shape in lpips.SHAPES.items()}


def test_without_weights_there_is_no_score_and_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path))
    assert lpips.lpips_pairs(photograph(), photograph()) is None
    assert "python -m bench fetch lpips" in lpips.unavailable()
    assert str(tmp_path) not in lpips.unavailable()  # it goes into rows, which are published


def test_random_weights_cannot_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    save_file(random_weights(), lpips.weights_path())
    assert lpips.lpips_pairs(photograph(), photograph()) is None
    assert "does not hold AlexNet's weights" in lpips.unavailable()
    assert str(tmp_path) not in lpips.unavailable()


@pytest.mark.parametrize("content", [b"", b"junk" * 100])
def test_a_corrupt_file_is_a_reason_and_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    lpips.weights_path().write_bytes(content)
    assert lpips.lpips_pairs(photograph(), photograph()) is None
    assert "delete it" in lpips.unavailable()
    assert str(tmp_path) not in lpips.unavailable()


def test_a_file_that_cannot_be_read_is_a_reason_without_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    save_file(random_weights(), lpips.weights_path())

    def fall(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("safetensors.torch.load_file", fall)
    assert "PermissionError" in lpips.unavailable()
    assert str(tmp_path) not in lpips.unavailable()


@pytest.mark.usefixtures("genuine")
def test_weights_that_are_almost_right_cannot_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = load_file(lpips.weights_path())
    assert lpips.faults(weights) == ""
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    save_file(weights | {"features.3.weight": weights["features.3.weight"].flip(-1).contiguous()}, lpips.weights_path())
    assert lpips.lpips_pairs(photograph(), photograph()) is None


def test_without_the_package_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lpips.importlib.util, "find_spec", lambda name: None)
    assert "package lpips is not installed" in lpips.unavailable()


@pytest.fixture
def looked_at(genuine: None, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images the network sees in each pass, with nothing remembered at first."""
    seen: list[int] = []
    lpips._network.cache_clear()
    assert lpips.unavailable() == ""
    features = lpips._features

    def counted(network: lpips.Network, images: torch.Tensor, side: int | None) -> torch.Tensor:
        seen.append(len(images))
        return features(network, images, side)

    monkeypatch.setattr(lpips, "_features", counted)
    return seen


def some_images(seed: int, n: int = 4) -> torch.Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_true_images_are_seen_once_for_all_attacks_on_them(looked_at: list[int]) -> None:
    truth = some_images(0)
    first = lpips.lpips_pairs(truth, some_images(1))
    again = lpips.lpips_pairs(truth.clone(), some_images(2))
    mixed = lpips.lpips_pairs(torch.cat([some_images(3, 1), truth[1:]]), some_images(1))
    assert looked_at == [4, 4, 4, 1, 4]  # truth and candidates; candidates; the one new image, and candidates
    lpips._network.cache_clear()
    assert first is not None
    assert again is not None
    assert mixed is not None
    for truths, others, got in ((truth, some_images(2), again), (torch.cat([some_images(3, 1), truth[1:]]), some_images(1), mixed)):
        afresh = torch.cat([lpips.lpips_pairs(a[None], b[None]) for a, b in zip(truths, others, strict=True)])  # type: ignore[misc]
        assert torch.allclose(got, afresh, atol=1e-6)
        lpips._network.cache_clear()


def test_a_candidate_that_is_given_many_times_is_seen_once(looked_at: list[int]) -> None:
    truth, one = some_images(0), some_images(1, 1)
    got = lpips.lpips_pairs(truth, one.expand(4, -1, -1, -1))
    assert looked_at == [4, 1]
    apart = torch.cat([lpips.lpips_pairs(image[None], one) for image in truth])  # type: ignore[misc]
    assert got is not None
    assert torch.allclose(got, apart, atol=1e-6)


def test_images_that_differ_by_little_are_not_taken_for_each_other(looked_at: list[int]) -> None:
    truth = some_images(0, 1)
    other = truth.clone()
    other[0, :, 16, 16] = (other[0, :, 16, 16] + 0.5) % 1
    assert float(lpips.lpips_pairs(truth, other)[0]) > 1e-6  # type: ignore[index]
    assert float(lpips.lpips_pairs(other, truth)[0]) > 1e-6  # type: ignore[index]
    as_it_is = lpips.lpips_pairs(truth, some_images(1, 1), side=None)
    enlarged = lpips.lpips_pairs(truth, some_images(1, 1))
    assert as_it_is is not None
    assert enlarged is not None
    assert abs(float(as_it_is - enlarged)) > 1e-3


def test_what_is_remembered_is_bounded(looked_at: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    truth, candidates = some_images(0), some_images(1)
    every = lpips.lpips_pairs(truth, candidates)
    network = lpips._network(lpips.weights_path(), lpips._stamp(lpips.weights_path()), torch.device("cpu"), torch.float32)
    assert isinstance(network, lpips.Network)
    size = next(iter(network.memory.values())).nbytes
    assert len(network.memory) == 4
    monkeypatch.setattr(lpips, "REMEMBERED", 2 * size)
    again = lpips.lpips_pairs(truth, candidates)
    assert again is not None
    assert every is not None
    assert torch.allclose(again, every, atol=1e-6)
    assert len(network.memory) == 2
    looked_at.clear()
    lpips.lpips_pairs(truth[2:], candidates[2:])  # those used last are the ones that stayed
    assert looked_at == [2]
