"""Model inversion does what PyTorch's autograd and Adam do, and looks at the network seldom."""

from __future__ import annotations

import pytest
import torch

from attacks import model_inversion
from attacks.model_inversion import ModelInversion, OneHiddenLayer, slope_of_logit
from bench import seeds
from bench.api import Architecture
from bench.targets.models import bound_forward, initial_weights
from bench.tracks.reconstruction import Release

SHAPE = (1, 6, 5)
NETWORKS = {
    "one hidden layer": Architecture("mlp", SHAPE, (40,), 1, "relu", "first", "bce"),
    "without biases": Architecture("mlp", SHAPE, (40,), 1, "relu", "none", "bce"),
    "with all biases": Architecture("mlp", SHAPE, (40,), 1, "relu", "all", "bce"),
    "two hidden layers": Architecture("mlp", SHAPE, (20, 10), 1, "relu", "first", "bce"),
    "tanh": Architecture("mlp", SHAPE, (40,), 1, "tanh", "first", "bce"),
    "three classes": Architecture("mlp", SHAPE, (40,), 3, "relu", "first", "ce"),
    "convolutions": Architecture("cnn", SHAPE, (9,), 1, "relu", "first", "bce", (3,), 3, "stride"),
}
QUICK = {"one hidden layer", "without biases", "with all biases"}


def released(net: Architecture, dtype: torch.dtype = torch.float64) -> Release:
    g = seeds.generator("model inversion")
    weights = {name: w.to(dtype) for name, w in initial_weights(net, None, g).items()}
    mean = torch.rand(net.input_shape, generator=g, dtype=dtype)
    return Release(architecture=net, weights=weights, forward=bound_forward(net), n_train=3, mean_image=mean)


def by_the_book(attack: ModelInversion, release: Release, generator: torch.Generator) -> torch.Tensor:
    """The attack with PyTorch's own gradient and optimiser."""
    mean, m = release.mean_image, 2 * release.n_train
    assert mean is not None
    x = torch.randn(m, *mean.shape, generator=generator).to(mean) * attack.start_std
    label = (torch.arange(m) * max(release.architecture.outputs, 2)) // m
    x.requires_grad_()
    optimizer = torch.optim.Adam([x], lr=attack.lr)
    for _ in range(attack.steps):
        out = release.forward(release.weights, x)
        logit = out[:, 0] * (2 * label - 1) if out.shape[1] == 1 else out.log_softmax(1)[torch.arange(m), label]
        optimizer.zero_grad()
        (-logit + attack.l2 * x.square().sum((1, 2, 3))).sum().backward()
        optimizer.step()
        with torch.no_grad():
            x.copy_((x + mean).clamp(*release.input_range) - mean)
    return (x.detach() + mean).clamp(*release.input_range)


@pytest.mark.parametrize("kind", NETWORKS)
def test_it_is_autograd_and_adam(kind: str) -> None:
    release, attack = released(NETWORKS[kind]), ModelInversion(steps=120)
    got = attack.reconstruct(release, torch.Generator().manual_seed(1))
    assert got.shape == (6, *SHAPE)
    assert not got.requires_grad
    assert torch.allclose(got, by_the_book(attack, release, torch.Generator().manual_seed(1)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", NETWORKS)
def test_which_networks_are_looked_at_seldom(kind: str) -> None:
    release = released(NETWORKS[kind])
    slope = slope_of_logit(release, torch.tensor([0, 1]), release.mean_image.new_zeros(2, *SHAPE))
    assert isinstance(slope, OneHiddenLayer) == (kind in QUICK)


def test_it_looks_again_only_where_a_unit_can_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    release, made = released(NETWORKS["one hidden layer"]), []
    release.weights["layers.0.bias"][::2] = 3  # these are always on, the others always off
    release.weights["layers.0.bias"][1::2] = -3

    def noted(*args: object) -> OneHiddenLayer:
        made.append(OneHiddenLayer(*args))  # type: ignore[arg-type]
        return made[0]

    monkeypatch.setattr(model_inversion, "slope_of_logit", noted)
    ModelInversion().reconstruct(release, torch.Generator().manual_seed(1))
    assert 6 <= made[0].looks < 200 * 6 / 4  # of 200 steps of 6 images


def test_units_that_do_nothing_do_not_call_for_looks() -> None:
    release = released(NETWORKS["without biases"])
    release.weights["layers.0.weight"][:5] = 0
    release.weights["layers.1.weight"][0, 5:10] = 0
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    slope = slope_of_logit(release, torch.tensor([0, 1]), x)
    assert isinstance(slope, OneHiddenLayer)
    first = slope(x).clone()
    assert torch.isfinite(first).all()
    assert torch.equal(slope(x), first)
    assert slope.looks == 2
    release.weights["layers.0.weight"].zero_()
    dead = slope_of_logit(release, torch.tensor([0, 1]), x)
    assert torch.equal(dead(x), torch.zeros_like(x))
