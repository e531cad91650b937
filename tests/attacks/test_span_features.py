"""Features in the span of the first dense layer over them, and the images that have these features."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.span import seen
from attacks.span.below import first_dense, reader
from attacks.span.inversion import inverted, variation
from attacks.span_features import SpanFeatures
from attacks.span_features_change import SpanFeaturesChange
from bench import seeds
from bench.api import Architecture
from bench.artefacts.reading import Reading
from bench.metrics.ssim import ssim_matrix
from bench.targets.models import bound_forward, initial_weights
from bench.tracks.reconstruction import Release

SHAPE = (3, 16, 16)


class Residual(nn.Module):
    """Maps go round two convolutions, and are read by a dense layer whose weight is a view of a larger tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6 * 8 * 8, 5)
        self.last = nn.Linear(5, 2)
        self.norm.running_mean = torch.rand(6)

    def maps(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return F.max_pool2d(torch.relu(x + self.norm(self.conv(x))), 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.head(self.maps(x).flatten(1))))


class Gated(nn.Module):
    """A dense layer that only scales the channels stands before the one that everything goes through."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 4), nn.Linear(4 * 14 * 14, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.relu(self.conv(x))
        maps = maps * (1 + torch.sigmoid(self.gate(maps.mean((2, 3)))))[:, :, None, None]
        return self.head(maps.flatten(1))


def images(n: int, of: object = "") -> Tensor:
    return torch.rand(n, *SHAPE, generator=seeds.generator("test span features", n, str(of))) - 0.5


def read(module: nn.Module) -> Reading:
    with torch.random.fork_rng(devices=[]):
        return Reading.of_module(module.eval(), SHAPE)


# --- below ------------------------------------------------------------------------------------------------------------------------------


def test_features_are_what_the_layer_reads_and_can_be_differentiated() -> None:
    torch.manual_seed(0)
    module = Residual().eval()
    reading = read(module)
    found = reader(reading.forward, reading.weights, SHAPE)
    assert (found.name, found.maps) == ("head.weight", (6, 8, 8))
    torch.testing.assert_close(found.rows, module.head.weight.detach())
    x = images(7).requires_grad_()
    torch.testing.assert_close(found(x), module.maps(x).flatten(1))
    seed = torch.randn(7, 6 * 8 * 8, generator=seeds.generator("seed"))
    mine, theirs = (torch.autograd.grad((part * seed).sum(), x)[0] for part in (found(x), module.maps(x).flatten(1)))
    torch.testing.assert_close(mine, theirs)


def test_a_layer_that_something_goes_round_is_not_the_one() -> None:
    torch.manual_seed(0)
    reading = read(Gated())
    found = reader(reading.forward, reading.weights, SHAPE)
    assert (found.name, found.maps) == ("head.weight", (4, 14, 14))


def test_a_network_without_such_a_layer_has_none() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    reading = read(module)
    assert first_dense(reading.forward, reading.weights, SHAPE) is None
    with pytest.raises(ValueError, match="no dense layer"):
        reader(reading.forward, reading.weights, SHAPE)


def test_averaged_maps_are_a_row_of_features() -> None:
    """Whose differences are as good as themselves."""
    module = nn.Sequential(nn.Conv2d(3, 9, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, 2))
    reading = read(module)
    below = reader(reading.forward, reading.weights, SHAPE)
    assert below.maps == (1, 1, 9)
    found = seen.images(below, below.rows, torch.full(SHAPE, 0.5), (0.0, 1.0), 2, 3, seeds.generator("averaged"))
    assert 1 <= len(found.images) <= 4
    assert bool(torch.isfinite(found.images).all())


@pytest.mark.parametrize("pooling", ["max", "stride", "avg", "none"])
@pytest.mark.parametrize("hidden", [(), (64, 64)])
def test_the_projects_own_networks_are_read_too(pooling: str, hidden: tuple[int, ...]) -> None:
    architecture = Architecture("cnn", SHAPE, hidden, 3, "relu", "first", "ce", (4,), 3, pooling)
    weights = initial_weights(architecture, None, seeds.generator("own"))
    found = reader(bound_forward(architecture), weights, SHAPE)
    side = 16 if pooling == "none" else 8
    assert (found.name, found.maps) == ("layers.1.weight", (4, side, side))
    torch.testing.assert_close(found.rows, weights["layers.1.weight"])
    x = images(5).double()
    rest = Architecture("mlp", (4, side, side), hidden, 3, "relu", "none", "ce")
    above = {f"layers.{i - 1}.weight": weights[f"layers.{i}.weight"] for i in range(1, len(hidden) + 2)}
    out = bound_forward(rest)(above, found(x).reshape(5, 4, side, side))
    torch.testing.assert_close(out, bound_forward(architecture)(weights, x))


def test_weights_that_share_their_memory_are_told_apart() -> None:
    architecture = Architecture("cnn", (1, 4, 4), (16,), 16, "relu", "none", "ce", (1,), 3, "none")
    flat = torch.randn(9 + 256 + 256, generator=seeds.generator("flat"))
    weights = {
        "layers.0.weight": flat[:9].view(1, 1, 3, 3),
        "layers.1.weight": flat[9:265].view(16, 16),
        "layers.2.weight": flat[265:].view(16, 16),
    }
    found = reader(bound_forward(architecture), weights, (1, 4, 4))
    assert found.name == "layers.1.weight"
    assert torch.equal(found.rows, weights["layers.1.weight"])


# --- inversion --------------------------------------------------------------------------------------------------------------------------


def test_an_image_is_found_by_its_features() -> None:
    """Of one convolution without pooling nearly everything is there."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Flatten())
    truth = F.interpolate(images(4)[..., :4, :4], size=(16, 16), mode="bilinear")
    mean = torch.full(SHAPE, 0.5)
    with torch.no_grad():
        sought = net(truth)
    found, met = inverted(net, 7 * sought, mean, (0.0, 1.0), 200, 0.03, 0.03, 0.05, seeds.generator("inversion"))
    assert (met > 0.99).all()
    assert (ssim_matrix(truth + mean, found).diagonal() > 0.8).all()
    other = ssim_matrix(truth + mean, found).fill_diagonal_(0)
    assert (other < 0.6).all()


def test_pieces_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())
    with torch.no_grad():
        sought = net(images(5))
    args = (net, sought, torch.full(SHAPE, 0.5), (0.0, 1.0), 5, 0.03, 0.1, 0.05)
    whole = inverted(*args, seeds.generator("pieces"))
    monkeypatch.setattr("attacks.span.inversion.AT_ONCE", 2)
    torch.testing.assert_close(inverted(*args, seeds.generator("pieces")), whole)


def test_total_variation_is_a_mean_over_the_pixels() -> None:
    steps = torch.arange(8.0)[None, None, None, :].expand(1, 2, 8, 8) / 10
    assert variation(steps).item() == pytest.approx(0.1, abs=2e-3)
    assert variation(torch.ones(2, 3, 1, 1)).tolist() == [0, 0]
    assert variation(torch.ones(2, 3, 5, 5)).abs().max() < 1e-6


# --- the attacks ------------------------------------------------------------------------------------------------------------------------


def smooth(n: int, of: object) -> Tensor:
    """Rectangles on a ground: images whose differences are sparse."""
    g = seeds.generator("test rectangles", str(of))
    drawn = torch.empty(n, *SHAPE)
    for image in drawn:
        image[:] = 0.3 + 0.4 * torch.rand(3, 1, 1, generator=g)
        for _ in range(3):
            top, left = (int(torch.randint(0, 10, (), generator=g)) for _ in range(2))
            high, wide = (int(torch.randint(4, 9, (), generator=g)) for _ in range(2))
            image[:, top : top + high, left : left + wide] = 0.1 + 0.8 * torch.rand(3, 1, 1, generator=g)
    return drawn


def released(n: int = 8) -> tuple[Release, Tensor, Tensor]:
    """A network whose dense layer has moved in the span of its images' features, from a start of PyTorch's."""
    members, controls = smooth(2 * n, "released").split(n)
    mean = members.mean(0)
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 60), nn.ReLU(), nn.Linear(60, 2)
    )
    start = copy.deepcopy(module)
    with torch.no_grad():
        module[4].weight += torch.randn(60, n) @ module[:4](members - mean) * 0.02
    reading, before = read(module), read(start)
    release = Release(
        architecture=reading.architecture,
        weights=reading.weights,
        forward=reading.forward,
        initial_weights=before.weights,
        mean_image=mean,
        n_train=n,
    )
    return release, members, controls


def test_images_come_back_through_the_convolution() -> None:
    release, members, controls = released()
    found = SpanFeaturesChange().reconstruct(release, seeds.generator("attack"))
    hits = [(ssim_matrix(side, found.images).amax(1) > 0.4).sum() for side in (members, controls)]
    assert hits[0] >= 6
    assert hits[1] <= 2
    assert found.confidence is not None
    assert bool((found.confidence.diff() <= 0).all())
    assert len(found.images) <= 2 * len(members)


def test_nothing_that_moved_is_the_mean_image() -> None:
    release, *_ = released()
    still = Release(
        architecture=release.architecture, weights=release.weights, forward=release.forward, initial_weights=release.weights,
        mean_image=release.mean_image, n_train=8,
    )  # fmt: skip
    found = SpanFeaturesChange().reconstruct(still, seeds.generator("attack"))
    torch.testing.assert_close(found.images, release.mean_image[None])


def test_a_component_points_where_features_do() -> None:
    """Features behind a ReLU are not negative, so a component of the wrong sign is turned round."""
    release, members, _ = released()
    below = reader(release.forward, release.weights, SHAPE)
    met = seen.images(below, below(members - release.mean_image).detach(), release.mean_image, (0.0, 1.0), 8, 60, seeds.generator("sign"))
    assert met.confidence is not None
    assert float(met.confidence.median()) > 0.8


def test_dense_over_pixels_is_another_attacks() -> None:
    mlp = Architecture("mlp", SHAPE, (9,), 1, "relu", "first", "bce")
    assert "span_ica" in SpanFeatures().unsupported(mlp)
    assert "span_ica_change" in SpanFeaturesChange().unsupported(mlp)
