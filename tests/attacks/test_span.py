"""The span of the first layer: its directions above the noise, independent components in it, and the images that these are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from attacks.kkt.change import decay_left
from attacks.mean_image import MeanImage
from attacks.span import components, directions, images
from attacks.span.answer import CONTRAST
from attacks.span.directions import Spectrum, noise_edge
from attacks.span.independent import FEATURES
from attacks.span_ica import SpanICA
from attacks.span_ica_change import SpanICAChange
from bench import seeds
from bench.api import Architecture, Setting, Target
from bench.targets.models import bound_forward
from bench.tracks.reconstruction import Release
from bench.tracks.reconstruction.targets import obtain
from bench.tracks.reconstruction.work import check_answer, narrow, score

SHAPE = (3, 16, 16)
SHAPES = [(500, 3072), (1000, 784), (200, 625), (300, 300), (900, 192)]  # units × pixels


def normal(*size: int, of: object = "") -> Tensor:
    return torch.randn(*size, generator=seeds.generator("test span", *size, str(of)), dtype=torch.float64)


def rectangles(n: int, shape: tuple[int, int, int] = SHAPE, of: object = "") -> Tensor:
    """Images of overlapping rectangles of random colours: their differences are 0 but at the edges."""
    g = seeds.generator("test span rectangles", n, *shape, str(of))
    drawn = torch.empty(n, *shape, dtype=torch.float64)
    for image in drawn:
        image[:] = 0.3 + 0.4 * torch.rand(shape[0], 1, 1, generator=g)
        for _ in range(5):
            top, left = (int(torch.randint(0, side - 4, (), generator=g)) for side in shape[1:])
            high, wide = (int(torch.randint(4, side // 2 + 4, (), generator=g)) for side in shape[1:])
            image[:, top : top + high, left : left + wide] = 0.15 + 0.7 * torch.rand(shape[0], 1, 1, generator=g)
    return drawn


def sums_of(found: Tensor, units: int, of: object = "") -> Tensor:
    """Rows of a first layer that gradient descent has moved: random sums of the centred images."""
    return normal(units, len(found), of=of) @ (found - found.mean(0)).flatten(1)


def answer(rows: Tensor, mean: Tensor, n: int, stream: object = "answer", steps: int = 150) -> Any:
    return images(rows, mean, n, steps, seeds.generator("test span", str(stream)))


def error(found: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error in pixels of the best answer to each image."""
    return torch.cdist(truth.flatten(1), found.flatten(1), p=1).amin(1) / truth[0].numel()


# --- components -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", sorted(FEATURES))
def test_a_mixing_of_images_that_do_not_overlap_is_undone_exactly(features: str) -> None:
    """Where one source has a feature the others have none, so the sources are a fixed point, chance correlation or not."""
    sources, mixing = torch.zeros(9, 3, 30, 30, dtype=torch.float64), normal(9, 9)
    for i, image in enumerate(sources):
        image[:, 10 * (i // 3) + 2 : 10 * (i // 3) + 8, 10 * (i % 3) + 2 : 10 * (i % 3) + 8] = normal(3, 6, 6, of=i)
    found = components(torch.einsum("ij,jchw->ichw", mixing, sources), features, 300, seeds.generator("test ica"))
    signed_permutation = torch.nn.functional.normalize(found @ mixing, dim=1).abs()
    assert signed_permutation.argmax(1).sort().values.tolist() == list(range(9))
    assert (signed_permutation.amax(1) > 1 - 1e-5).all()


@pytest.mark.parametrize("r", [2, 7, 20])
def test_a_mixing_of_images_that_overlap_is_undone(r: int) -> None:
    """But for the correlation of differences that happen to lie at one place."""
    sources, mixing = rectangles(r, (3, 32, 32)), normal(r, r)
    found = components(torch.einsum("ij,jchw->ichw", mixing, sources), "first", 300, seeds.generator("test ica", r))
    signed_permutation = torch.nn.functional.normalize(found @ mixing, dim=1).abs()
    assert signed_permutation.argmax(1).sort().values.tolist() == list(range(r))
    assert (signed_permutation.amax(1) > 0.97).all()


@pytest.mark.parametrize("features", sorted(FEATURES))
def test_components_have_unit_variance_and_no_correlation_in_their_features(features: str) -> None:
    basis = normal(5, *SHAPE)
    seen = components(basis, features, 20, seeds.generator("test ica")) @ FEATURES[features](basis)
    torch.testing.assert_close(seen @ seen.mT / seen.shape[1], torch.eye(5, dtype=torch.float64), atol=1e-5, rtol=0)


def test_a_direction_without_differences_is_no_component() -> None:
    basis = torch.cat([rectangles(3), torch.ones(1, *SHAPE, dtype=torch.float64)])
    found = components(basis, "first", 50, seeds.generator("test ica"))
    assert found.shape == (3, 4)
    assert (found[:, 3].abs() < 1e-6 * found.abs().amax()).all()


@pytest.mark.parametrize(("shape", "features"), [((3, 1, 1), "first"), ((1, 1, 9), "mixed"), ((1, 9, 1), "mixed")])
def test_images_without_neighbours_have_no_components(shape: tuple[int, int, int], features: str) -> None:
    assert components(normal(2, *shape), features, 9, seeds.generator("test ica")).shape == (0, 2)


# --- directions -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 20])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_edge_of_the_noise_is_its_largest_singular_value(shape: tuple[int, int], n: int) -> None:
    noise = 0.01 * normal(*shape)
    planted = normal(shape[0], n, of="left") @ normal(n, shape[1], of="right")
    edge = noise_edge(torch.linalg.svdvals(noise + planted), shape, n)
    assert edge == pytest.approx(float(torch.linalg.svdvals(noise)[0]), rel=0.04)


def test_no_edge_is_told_from_a_layer_with_few_units() -> None:
    assert noise_edge(torch.linalg.svdvals(normal(30, 100)), (30, 100), 20) == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_planted_directions_are_found_and_those_of_the_noise_are_not(shape: tuple[int, int]) -> None:
    n = 20
    planted = torch.linalg.qr(normal(shape[1], 12, of="right"))[0].mT
    rows = 1e-3 * normal(*shape) + normal(shape[0], 12, of="left") @ planted
    found = directions(rows, n, 1.1)
    assert found.shape == (12, shape[1])
    torch.testing.assert_close(found @ found.mT, torch.eye(12, dtype=torch.float64), atol=1e-9, rtol=0)
    assert (planted @ found.mT).norm(dim=1).min() > 0.999
    assert len(directions(rows, 5, 1.1)) == 5  # never more than there are images


def test_rounding_errors_are_no_directions() -> None:
    rows = (normal(80, 6, of="left") @ normal(6, 300, of="right")).float()  # as a change of weights is: no noise of a start
    assert len(directions(rows, 20, 1.02)) == 6


def test_one_decomposition_serves_all_edges() -> None:
    rows = normal(40, 100)
    spectrum = Spectrum.of(rows)
    torch.testing.assert_close(spectrum.values, torch.linalg.svdvals(rows))
    for above in (0.0, 1.02, 1.1):
        torch.testing.assert_close(spectrum.directions(9, above), directions(rows, 9, above), atol=1e-9, rtol=0)


@pytest.mark.parametrize("rho", [1.0, 0.8, 0.3])
def test_what_is_left_of_the_start_is_read_off(rho: float) -> None:
    start, members = normal(200, 400, of="start") / 20, rectangles(10, (1, 20, 20))
    assert decay_left(rho * start + sums_of(members, 200), start, 11) == pytest.approx(rho, abs=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_what_is_left_of_the_start_of_a_trained_network(decay: float) -> None:
    """(1 − lr·decay)^steps, whatever the images: full batches add nothing but sums of them."""
    release = obtain([SETTING.model_copy(update={"weight_decay": decay, "init_scale": None, "epochs": 400})])[0].release
    end, start = (w["layers.0.weight"] for w in (release.weights, release.initial_weights))
    assert decay_left(end, start, release.n_train + 1) == pytest.approx((1 - SETTING.lr * decay) ** 400, rel=0.001)


# --- images -----------------------------------------------------------------------------------------------------------------------------


def test_images_come_back_in_their_own_sign_and_contrast() -> None:
    members = rectangles(10, of=2)
    mean = members.mean(0)
    found = answer(sums_of(members, 60), mean, 10).images
    assert error(mean[None], members).min() > 0.08
    assert error(found, members).max() < 0.03  # a wrong sign, or a wrong contrast by a third, is an error of .05 and more
    contrast = (members - mean).flatten(1).std(1)
    assert (contrast > CONTRAST[0]).all()  # else this would be a test of the clamp
    assert (contrast < CONTRAST[1]).all()
    assert contrast.max() > 1.5 * contrast.min()
    nearest = found[torch.cdist(members.flatten(1), found.flatten(1)).argmin(1)]
    torch.testing.assert_close((nearest - mean).flatten(1).std(1), contrast, rtol=0.2, atol=0)


def test_at_most_two_an_image_the_most_stable_first() -> None:
    members = rectangles(6)
    found = answer(sums_of(members, 40) + 1e-2 * normal(40, members[0].numel()), members.mean(0), 6)
    assert len(found.images) == len(found.confidence) <= 12
    assert found.images.isfinite().all()
    assert (found.confidence.diff() <= 0).all()
    again = answer(sums_of(members, 40) + 1e-2 * normal(40, members[0].numel()), members.mean(0), 6)
    torch.testing.assert_close(again.images, found.images, atol=1e-6, rtol=0)


def test_the_generator_decides_and_nothing_else_does() -> None:
    members = rectangles(6)
    rows, global_state = sums_of(members, 40), torch.get_rng_state()
    one, other = (answer(rows, members.mean(0), 6, stream, steps=0) for stream in ("one", "other"))
    assert torch.equal(torch.get_rng_state(), global_state)
    assert one.images.shape != other.images.shape or not torch.allclose(one.images, other.images, atol=1e-3)


MEAN = rectangles(1, (1, 6, 6))[0]
DEGENERATE = {
    "rows of zeros": (torch.zeros(8, 36), MEAN, 3),
    "equal rows": (torch.ones(8, 36), MEAN, 3),
    "one direction": (normal(8, 1) @ normal(1, 36), MEAN, 3),
    "one unit": (normal(1, 36), MEAN, 3),
    "one image": (normal(8, 36), MEAN, 1),
    "more images than units": (normal(8, 36), MEAN, 20),
    "more images than pixels": (normal(80, 36), MEAN, 50),
    "a constant mean image": (normal(8, 36), torch.full((1, 6, 6), 0.5), 3),
    "a black mean image": (normal(8, 36), torch.zeros(1, 6, 6), 3),
    "images of one pixel": (normal(8, 3), torch.full((3, 1, 1), 0.5), 2),
    "images of one line": (normal(8, 9), torch.rand(1, 1, 9), 3),
    "tiny weights": (1e-25 * normal(8, 36), MEAN, 3),
    "huge weights": (1e25 * normal(8, 36), MEAN, 3),
}


@pytest.mark.parametrize("case", sorted(DEGENERATE))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_degenerate_layer_has_an_answer_too(case: str, dtype: torch.dtype) -> None:
    rows, mean, n = DEGENERATE[case]
    found = answer(rows.to(dtype), mean.to(dtype), n)
    assert 1 <= len(found.images) <= 2 * n
    assert found.images.shape[1:] == mean.shape
    assert found.images.isfinite().all()
    assert found.confidence.isfinite().all()


@pytest.mark.parametrize("case", ["rows of zeros", "images of one pixel"])
def test_where_there_is_nothing_the_answer_is_the_mean_image(case: str) -> None:
    rows, mean, n = DEGENERATE[case]
    torch.testing.assert_close(answer(rows, mean, n).images, mean.expand(len(answer(rows, mean, n).images), -1, -1, -1))


def test_a_constant_mean_image_leaves_the_usual_contrast_and_both_signs() -> None:
    """It has no differences to find sign and contrast by; so it is where an owner subtracts one grey instead of the mean image."""
    members = rectangles(6)
    rows = normal(40, 6) @ (members - 0.5).flatten(1)
    found = answer(rows, torch.full(SHAPE, 0.5, dtype=torch.float64), 6)
    assert len(found.images) == 12
    like = torch.corrcoef(torch.cat([members.flatten(1), found.images.flatten(1)]))[:6, 6:]
    assert (like.amax(1) > 0.9).all()


# --- the attacks ------------------------------------------------------------------------------------------------------------------------

SETTING = Setting(dataset="photo_tiles", n_per_class=4, hidden=(100,), epochs=1500, weight_decay=0.003, lr=0.02, seed=100)
ATTACKS = [SpanICA, SpanICAChange]


@pytest.fixture(scope="module")
def targets() -> list[Target]:
    return obtain([SETTING.model_copy(update={"seed": seed}) for seed in (100, 101, 102)])


def released(weights: Tensor, start: Tensor, mean: Tensor, n: int) -> Release:
    architecture = Architecture("mlp", tuple(mean.shape), (len(weights),), 1, "relu", "first", "bce")
    return Release(
        architecture=architecture,
        weights={"layers.0.weight": weights},
        forward=bound_forward(architecture),
        n_train=n,
        mean_image=mean,
        initial_weights={"layers.0.weight": start},
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_answer_has_the_precision_of_the_release_and_is_the_same_in_both(attack: Any, dtype: torch.dtype) -> None:
    members = rectangles(6)
    rows, start = sums_of(members, 60), 1e-6 * normal(60, members[0].numel(), of="start")
    found = attack().reconstruct(released((rows + start).to(dtype), start.to(dtype), members.mean(0).to(dtype), 6), seeds.generator("test"))
    assert found.images.dtype == found.confidence.dtype == dtype
    assert error(found.images.double(), members).median() < 0.02


@pytest.mark.parametrize("attack", ATTACKS)
def test_weights_that_did_not_move_give_an_answer(attack: Any) -> None:
    start = normal(30, 36, of="start")
    found = attack().reconstruct(released(start, start, MEAN, 4), seeds.generator("test"))
    assert found.images.isfinite().all()
    if attack is SpanICAChange:
        torch.testing.assert_close(found.images, MEAN.expand(len(found.images), -1, -1, -1), atol=1e-9, rtol=0)


def test_the_change_finds_what_a_large_start_hides() -> None:
    members = rectangles(6)
    start, moved = normal(60, members[0].numel(), of="start"), 0.1 * sums_of(members, 60)
    release = released(0.9 * start + moved, start, members.mean(0), 6)
    assert error(SpanICAChange().reconstruct(release, seeds.generator("test")).images, members).median() < 0.04
    assert error(SpanICA().reconstruct(release, seeds.generator("test")).images, members).median() > 0.06


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_network_of_convolutions_is_not_supported(attack: Any) -> None:
    dense = Architecture("mlp", SHAPE, (4,), 1, "relu", "first", "bce")
    assert attack().unsupported(dense) == ""
    assert "fully connected" in attack().unsupported(replace(dense, model="cnn"))


@pytest.mark.parametrize("attack", ATTACKS)
def test_more_training_images_come_back_than_the_mean_image_gives(targets: list[Target], attack: Any) -> None:
    def excess(run: Any, target: Target) -> float:
        release = narrow(target.release, run.needs)
        found = check_answer(run.reconstruct(release, seeds.generator("test", "span")), release)
        row, _ = score(found, target.secret, bootstrap_seed=0, thumbnails=False)
        return float(row["excess_recall"])

    ahead = [excess(attack(), target) - excess(MeanImage(), target) for target in targets]
    assert min(ahead) >= 0
    assert sum(ahead) / len(ahead) > 0.3
