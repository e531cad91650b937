"""Trial trainings as sums of images are the recipe's own trainings."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from bench import seeds
from bench.api import Setting
from bench.targets import one_missing
from bench.targets.models import architecture, initial_weights
from bench.targets.one_missing import Known
from bench.targets.train import MOMENTUM
from bench.targets.train_span import left
from bench.targets.trials import train_trials


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"])
@pytest.mark.parametrize(
    "fields",
    [{}, {"optimizer": "heavy_ball", "weight_decay": 0.01, "hidden": (7, 4)}, {"bias": "first", "loss": "mse"}, {"bias": "none"}],
    ids=["gd", "heavy ball with decay", "first bias", "no bias"],
)
def test_trials_are_the_recipe_in_other_coordinates(activation, fields):
    setting = Setting(
        **{
            "hidden": (7,), "epochs": 25, "lr": 0.2, "dtype": "float64", "classes": 3, "loss": "ce", "bias": "all", "init_scale": None,
            "activation": activation, **fields,
        }
    )  # fmt: skip
    net, g = architecture(setting, (1, 5, 6), 3), seeds.generator("trials", 0)
    images, labels = torch.rand(9, 1, 5, 6, generator=g), torch.arange(9) % 3
    start = initial_weights(net, setting.init_scale, g)
    known, own, own_labels = Known(net, setting, images[:6], labels[:6], start, setting.epochs), images[6:], labels[6:]
    whole = one_missing.expand(known, one_missing.train(known, own, own_labels), own)

    x = (images - known.mean).flatten(1).double()  # the pixels themselves are coordinates too
    first = start["layers.0.weight"]
    if "layers.0.bias" in start:
        x, first = torch.cat([x, torch.ones(9, 1)], 1), torch.cat([first, start["layers.0.bias"][:, None]], 1)
    got = train_trials(known, first, x[:6], x[6:], own_labels)
    every = torch.cat([x[:6].expand(3, -1, -1), x[6:, None]], 1)
    remains = left(1 - setting.lr * setting.weight_decay, MOMENTUM[setting.optimizer], setting.epochs)
    layer = remains * first + got["sums"] @ every
    wanted = whole["layers.0.weight"]
    if "layers.0.bias" in start:
        wanted = torch.cat([wanted, whole["layers.0.bias"][:, :, None]], 2)
    assert torch.allclose(layer, wanted, atol=1e-7)
    for name in set(whole) - {"layers.0.weight", "layers.0.bias"}:
        assert torch.allclose(got[name], whole[name], atol=1e-7), name


def test_one_stack_is_as_good_as_many(monkeypatch):
    setting = Setting(hidden=(5,), epochs=10, classes=3, loss="ce", bias="all", init_scale=None)
    net, g = architecture(setting, (1, 4, 4), 3), seeds.generator("trials", 1)
    images, labels = torch.rand(12, 1, 4, 4, generator=g), torch.arange(12) % 3
    known = Known(net, setting, images[:6], labels[:6], initial_weights(net, None, g), 10)
    x = (images - known.mean).flatten(1).double()
    first = known.start["layers.0.weight"]
    together = train_trials(known, first, x[:6], x[6:], labels[6:])
    monkeypatch.setattr("bench.targets.trials.CACHED", {"cpu": 1})
    apart = train_trials(dataclasses.replace(known), first, x[:6], x[6:], labels[6:])
    for name, value in together.items():
        assert torch.allclose(apart[name], value, atol=1e-12), name
