"""last_layer: its objective from the definition, and that what it finds explains the last layer as well as the truth does."""

from __future__ import annotations

import pytest
import torch

from attacks.kkt.change import change
from attacks.last_layer import LastLayer, objective
from bench.api import Setting
from bench.tracks.reconstruction.targets import obtain

SETTING = {"dataset": "photo_tiles", "n_per_class": 2, "init_scale": None, "lr": 0.05, "epochs": 300, "seed": 100}


def trained(**over):
    return obtain([Setting(**{**SETTING, **over})])[0]


@pytest.mark.parametrize(
    "over",
    [
        {"hidden": (40,), "loss": "mse"},
        {"hidden": (30, 20), "activation": "tanh"},
        {"hidden": (40,), "bias": "all"},
        {"hidden": (40,), "classes": 3, "loss": "ce", "bias": "all"},
    ],
)
def test_the_objective_is_the_residual_of_a_projection(over):
    target = trained(**over)
    release, last = target.release, f"layers.{len(over['hidden'])}"
    moved = change(release.weights, release.initial_weights, release.n_train)
    x = torch.randn(5, *release.mean_image.shape, generator=torch.Generator().manual_seed(1))
    a = x.flatten(1).double()
    for layer in range(len(over["hidden"])):
        z = a @ release.weights[f"layers.{layer}.weight"].double().mT + release.weights.get(f"layers.{layer}.bias", torch.zeros(1)).double()
        a = torch.tanh(z) if over.get("activation") == "tanh" else torch.relu(z)
    w = moved[f"{last}.weight"].double()
    if over.get("bias") == "all":
        a, w = torch.cat([a, torch.ones(5, 1).double()], 1), torch.cat([w, moved[f"{last}.bias"].double()[:, None]], 1)
    fit = torch.linalg.lstsq(a.mT, w.mT).solution
    expected = (w.mT - a.mT @ fit).square().sum() / w.square().sum()
    assert float(objective(release, moved)(x.flatten(1))) == pytest.approx(float(expected), rel=1e-3, abs=1e-6)


def test_it_explains_the_last_layer_far_better_than_its_start():
    target = trained(hidden=(200,), loss="mse")
    release = target.release
    unexplained = objective(release, change(release.weights, release.initial_weights, release.n_train))
    centred = [LastLayer(steps=steps).reconstruct(release, torch.Generator().manual_seed(0)) - release.mean_image for steps in (0, 300)]
    start, end = (float(unexplained(x.flatten(1))) for x in centred)
    truth = float(unexplained((target.secret.members.float() - release.mean_image).flatten(1)))
    assert end < 0.7 * start
    assert end < 2 * truth


def test_it_is_for_a_first_layer_that_is_fully_connected():
    cnn = trained(model="cnn", channels=(4,), hidden=(8,), epochs=5).release.architecture
    assert "fully connected" in LastLayer().unsupported(cnn)
