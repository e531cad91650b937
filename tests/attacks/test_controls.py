"""Controls that look at the weights or at public images without attacking: what they submit is known by construction."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from attacks.class_mean_image import ClassMeanImage
from attacks.pool_mean import PoolMean
from attacks.row_kmeans import RowKmeans, kmeans
from bench import seeds
from bench.api import Architecture
from bench.targets.models import bound_forward
from bench.tracks.reconstruction import Release

SHAPE = (1, 6, 6)
DIMENSIONS = 36


def release_of(rows: torch.Tensor, last: torch.Tensor, n: int, public: torch.Tensor, mean: torch.Tensor) -> Release:
    architecture = Architecture("mlp", SHAPE, (len(rows),), len(last), "relu", "first", "bce" if len(last) == 1 else "ce")
    weights = {"layers.0.weight": rows, "layers.0.bias": torch.zeros(len(rows)), "layers.1.weight": last}
    return Release(
        architecture=architecture, weights=weights, forward=bound_forward(architecture), n_train=n, mean_image=mean, public_images=public
    )


# --- row_kmeans -------------------------------------------------------------------------------------------------------------------------


def groups(sizes: tuple[int, ...], noise: float = 0.01) -> tuple[torch.Tensor, torch.Tensor]:
    """Patterns, and rows that are noisy copies of them by many different positive factors, shuffled."""
    g = seeds.generator("test", "kmeans", *sizes)
    patterns = torch.linalg.qr(torch.randn(DIMENSIONS, len(sizes), generator=g)).Q.T
    of = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))[torch.randperm(sum(sizes), generator=g)]
    factor = 0.1 + torch.rand(len(of), 1, generator=g)
    return patterns, factor * (patterns[of] + noise * torch.randn(len(of), DIMENSIONS, generator=g))


def test_rows_that_share_a_pattern_give_it_with_its_sign_at_the_set_contrast_heaviest_first() -> None:
    patterns, rows = groups((40, 25, 12, 5))
    mean = torch.full(SHAPE, 0.5)
    release = release_of(rows, torch.ones(1, len(rows)), 2, mean[None], mean)
    found = (RowKmeans(contrast=0.05).reconstruct(release, torch.Generator().manual_seed(0)) - mean).flatten(1)
    assert found.shape == (4, DIMENSIONS)
    assert torch.allclose(found.std(1), torch.full((4,), 0.05), atol=1e-5)
    likeness = torch.nn.functional.cosine_similarity(found[:, None], patterns[None], dim=2)
    assert likeness.argmax(1).tolist() == [0, 1, 2, 3]
    assert (likeness.diagonal() > 0.99).all()


def test_centres_are_the_means_of_their_points_and_points_belong_to_the_nearest() -> None:
    points = torch.randn(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    centres, owner = kmeans(points, 6, 200, torch.Generator().manual_seed(2))
    assert torch.equal(owner, torch.cdist(points, centres).argmin(1))
    for k in range(len(centres)):
        assert torch.allclose(centres[k], points[owner == k].mean(0))


@pytest.mark.parametrize("rows", [torch.zeros(5, DIMENSIONS), torch.ones(5, DIMENSIONS), torch.eye(DIMENSIONS)[:3]])
def test_fewer_directions_than_centres_give_fewer_images(rows: torch.Tensor) -> None:
    mean = torch.full(SHAPE, 0.5)
    release = release_of(rows, torch.ones(1, len(rows)), 4, mean[None], mean)
    images = RowKmeans().reconstruct(release, torch.Generator().manual_seed(0))
    assert len(images) == len(rows.unique(dim=0))
    assert images.isfinite().all()


def test_a_network_of_convolutions_has_no_rows_that_are_images() -> None:
    dense = Architecture("mlp", SHAPE, (4,), 1, "relu", "first", "bce")
    assert RowKmeans().unsupported(dense) == ""
    assert "fully connected" in RowKmeans().unsupported(replace(dense, model="cnn"))


# --- class_mean_image -------------------------------------------------------------------------------------------------------------------


def by_brightness(outputs: int) -> tuple[Release, torch.Tensor, torch.Tensor]:
    """A network that puts images brighter than the mean image into class 1, public images of both kinds, and which ones are bright."""
    mean = torch.full(SHAPE, 0.5)
    public = 0.4 + 0.2 * (torch.arange(7) % 2 == 0).float().view(-1, 1, 1, 1) + 0.05 * torch.rand(7, *SHAPE, generator=seeds.generator("t"))
    rows = torch.stack([torch.ones(DIMENSIONS), -torch.ones(DIMENSIONS)])
    last = torch.tensor([[1.0, -1.0]]) if outputs == 1 else torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    return release_of(rows, last, 3, public, mean), public, torch.arange(7) % 2 == 0


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_means_of_the_predicted_classes_at_rising_contrast(outputs: int) -> None:
    release, public, bright = by_brightness(outputs)
    images = ClassMeanImage(highest=2.0).reconstruct(release, torch.Generator())
    dark_mean, bright_mean, mean = public[~bright].mean(0), public[bright].mean(0), release.mean_image
    assert len(images) == 6
    for step, contrast in enumerate((1.0, 1.5, 2.0)):
        for k, own in enumerate((dark_mean, bright_mean)):
            assert torch.allclose(images[2 * step + k], mean + contrast * (own - mean), atol=1e-6)


def test_a_class_to_which_no_public_image_goes_is_left_out() -> None:
    release, public, bright = by_brightness(1)
    release = replace(release, public_images=public[bright])
    images = ClassMeanImage(highest=1.0).reconstruct(release, torch.Generator())
    assert torch.allclose(images, public[bright].mean(0).expand(6, -1, -1, -1), atol=1e-6)


# --- pool_mean --------------------------------------------------------------------------------------------------------------------------


def test_were_the_training_images_public_the_mean_image_would_name_them_all() -> None:
    g = seeds.generator("test", "pool mean")
    public = torch.rand(30, *SHAPE, generator=g)
    members = torch.tensor([3, 8, 14, 21, 29])
    release = release_of(torch.eye(DIMENSIONS), torch.ones(1, DIMENSIONS), 5, public, public[members].mean(0))
    found = PoolMean().reconstruct(release, g)
    assert len(found) == 10
    assert {image.numpy().tobytes() for image in found[:5]} == {image.numpy().tobytes() for image in public[members]}


def test_it_sees_no_network_and_draws_no_more_public_images_than_it_says() -> None:
    assert PoolMean.needs == {"mean_image", "public_images"}
    public = torch.rand(40, *SHAPE, generator=seeds.generator("test", "pool mean"))
    release = release_of(torch.eye(DIMENSIONS), torch.ones(1, DIMENSIONS), 20, public, public.mean(0))
    assert len(PoolMean(pool=7).reconstruct(release, torch.Generator().manual_seed(0))) == 7
