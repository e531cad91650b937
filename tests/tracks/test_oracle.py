"""The oracle of the activation patterns: exact where the equations hold, silent where they are not linear, and in no attack's hands."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from bench import seeds
from bench.api import Architecture, Setting
from bench.tracks.reconstruction.oracle import CONTRAST, applies, exact, images_of, recalls
from bench.tracks.reconstruction.targets import obtain

SHAPE = (1, 16, 16)
N, UNITS = 5, 40
NET = Architecture("mlp", SHAPE, (UNITS,), 1, "relu", "first", "bce")


def stationary(activation: str) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weights that are Σ λᵢ yᵢ (v ∘ sᵢ) xᵢᵀ for patterns, labels and images drawn at random; patterns, labels, centred images."""
    g = seeds.generator("test", "oracle", activation)
    images = 0.2 * torch.randn(N, 256, generator=g, dtype=torch.float64)
    on = torch.rand(N, UNITS, generator=g) > 0.5
    labels = torch.tensor([0, 1, 0, 1, 1])
    last = torch.randn(UNITS, generator=g, dtype=torch.float64)
    slopes = torch.where(on, 1.0, 0.0 if activation == "relu" else 0.01).double()
    columns = (slopes * last * (2 * labels[:, None] - 1)) * (0.5 + torch.rand(N, 1, generator=g, dtype=torch.float64))
    weights = {"layers.0.weight": columns.mT @ images, "layers.0.bias": columns.sum(0), "layers.1.weight": last[None]}
    return weights, on, labels, images


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_where_the_equations_hold_the_images_come_back_exactly(activation: str) -> None:
    weights, on, labels, images = stationary(activation)
    net = dataclasses.replace(NET, activation=activation)
    assert torch.allclose(images_of(net, weights, on, labels), images, atol=1e-9)
    assert not torch.allclose(images_of(net, weights, on.roll(1, 0), labels), images, atol=1e-2)


def test_multipliers_of_a_regression_may_be_negative() -> None:
    weights, on, labels, images = stationary("relu")
    other = dataclasses.replace(NET, loss="mse")
    assert torch.allclose(images_of(other, weights, on, 1 - labels), images, atol=1e-9)
    assert not torch.allclose(images_of(NET, weights, on, 1 - labels), images, atol=1e-2)


def test_without_a_bias_the_scale_is_set() -> None:
    weights, on, labels, images = stationary("relu")
    del weights["layers.0.bias"]
    found = images_of(NET, weights, on, labels)
    assert torch.allclose(found, CONTRAST * images / images.std(1, keepdim=True), atol=1e-9)


def test_it_applies_where_the_equations_are_linear() -> None:
    replace, images = dataclasses.replace, torch.zeros(2, *SHAPE)
    assert applies(NET)
    for other in (replace(NET, activation="tanh"), replace(NET, hidden=(4, 4)), replace(NET, outputs=3), replace(NET, model="cnn")):
        assert not applies(other)
        assert recalls(other, {}, images[0], images, torch.zeros(2, dtype=torch.long), images) == {}


def test_the_ceiling_is_one_but_for_members_that_are_controls() -> None:
    members, others = torch.rand(2, 4, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    assert exact(members, others) == {"ceiling": 1.0}
    alike = (0.95 * members + 0.05 * others).clamp(0, 1)
    assert exact(members, alike) == {"ceiling": 1.0}, "a look-alike is no member"
    assert exact(members, torch.cat([members[:2], others[2:]])) == {"ceiling": 0.5}, "these tell nothing of either side"
    assert exact(members, torch.cat([members[:1], members[:1], others[2:]])) == {"ceiling": 0.75}


def test_a_trained_network_has_the_columns_and_its_release_has_not() -> None:
    target = obtain([Setting(dataset="photo_tiles", n_per_class=2, hidden=(100,), epochs=2000, lr=0.1, weight_decay=0.003, seed=100)])[0]
    found = {name: value for name, value in target.secret.findable.items() if name.startswith("pattern_")}
    assert set(found) == {"pattern_oracle_members", "pattern_oracle_controls"}
    assert all(0 <= value <= 1 for value in found.values())
    assert found["pattern_oracle_members"] > found["pattern_oracle_controls"]
    assert not any("pattern" in name for name in target.release.held())
