"""Derivatives carried along with a training are those of the training."""

from __future__ import annotations

import pytest
import torch

from bench.api import Architecture, Setting
from bench.targets.losses import loss_curvature, loss_gradient
from bench.targets.models import initial_weights
from bench.targets.one_missing import Known
from bench.targets.tangents import train_tangents
from bench.targets.trials import train_trials

STEP = 1e-5


@pytest.mark.parametrize(
    ("activation", "hidden", "loss", "fields"),
    [
        ("relu", (6,), "bce", {"bias": "all"}),
        ("leaky_relu", (6, 5), "ce", {"bias": "none"}),
        ("gelu", (6,), "ce", {"bias": "all", "optimizer": "heavy_ball"}),
        ("tanh", (6, 5), "mse", {"bias": "all", "optimizer": "heavy_ball", "weight_decay": 0.01}),
        ("silu", (6,), "huber", {"bias": "first", "weight_decay": 0.01}),
    ],
)
def test_they_are_those_of_differences(activation, hidden, loss, fields):
    g = torch.Generator().manual_seed(0)
    outputs = 1 if loss == "bce" else 3
    setting = Setting(hidden=hidden, activation=activation, loss=loss, classes="binary" if outputs == 1 else 3, lr=0.1, epochs=8, **fields)
    net = Architecture(
        model="mlp", input_shape=(1, 3, 3), hidden=hidden, outputs=outputs, activation=activation, bias=setting.bias, loss=loss
    )
    images, labels = torch.rand(7, 1, 3, 3, generator=g), torch.arange(7) % max(2, outputs)
    known = Known(net, setting, images, labels, initial_weights(net, None, g), 8)
    inputs, first = images.double().flatten(1), known.start["layers.0.weight"].double()
    own, label = torch.rand(9, generator=g).double(), torch.tensor(1)
    directions = torch.randn(70, 9, generator=g).double()  # more than are carried together

    got, moved = train_tangents(known, first, inputs, own, label, directions)
    here, there = (train_trials(known, first, inputs, own + sign * STEP * directions, label.expand(len(directions))) for sign in (-1, 1))
    mine = train_trials(known, first, inputs, own[None], label[None])
    for name, value in moved.items():
        torch.testing.assert_close(got[name], mine[name][0], atol=1e-9, rtol=1e-9)
        difference = (there[name] - here[name]) / (2 * STEP)
        assert float((value - difference).norm()) < 1e-4 * float(difference.norm())


@pytest.mark.parametrize("loss", ["bce", "ce", "mse", "huber"])
def test_the_curvature_of_a_loss_is_the_derivative_of_its_gradient(loss):
    g = torch.Generator().manual_seed(0)
    out, moved, target = (
        torch.randn(5, 3, generator=g).double(),
        torch.randn(5, 3, generator=g).double(),
        torch.eye(3)[[0, 1, 2, 1, 0]].double(),
    )
    difference = (loss_gradient(loss, out + STEP * moved, target) - loss_gradient(loss, out - STEP * moved, target)) / (2 * STEP)
    several = torch.stack([moved, 2 * moved])
    torch.testing.assert_close(loss_curvature(loss, out, target, several)[1], 2 * difference, atol=1e-7, rtol=1e-5)
