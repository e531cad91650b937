"""Adam on minibatches: the same steps as PyTorch takes on one network, in a stack as alone, and names of older targets that stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from bench import seeds
from bench.api import Architecture, Setting
from bench.engine.rescore import setting_of
from bench.store import load_scores
from bench.targets.cache import target_id
from bench.targets.models import forward, initial_weights
from bench.targets.train import train_stack

ROOT = Path(__file__).resolve().parents[2]
NETS = (
    Architecture("mlp", (1, 4, 4), (7,), 3, "relu", "all", "ce"),
    Architecture("mlp", (1, 4, 4), (7, 5), 3, "gelu", "first", "ce"),
    Architecture("mlp", (1, 4, 4), (7,), 3, "tanh", "none", "ce"),
    Architecture("cnn", (1, 6, 6), (5,), 3, "relu", "first", "ce", (4,), 3, "stride"),
)


def setting(**more) -> Setting:
    base = {"dataset": "photo_patches", "classes": 3, "loss": "ce", "optimizer": "adam", "lr": 0.01, "epochs": 4, "batch_size": 4}
    return Setting.model_validate({**base, **more})


def draw(net: Architecture, k: int):
    g = seeds.generator("adam", k)
    return torch.randn(10, *net.input_shape, generator=g), torch.arange(10) % net.outputs, initial_weights(net, None, g)


@pytest.mark.parametrize("net", NETS, ids=lambda net: f"{net.model}-{net.activation}")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", {"atol": 2e-5, "rtol": 1e-4}), ("float64", {"atol": 1e-8, "rtol": 1e-8})])
def test_a_stack_takes_the_steps_that_pytorch_takes_on_each_network(net, dtype, tolerance):
    settings = [setting(seed=k, weight_decay=0.01, dtype=dtype) for k in (0, 1)]
    precision = getattr(torch, dtype)
    parts = [draw(net, k) for k in (0, 1)]
    trained = train_stack(net, settings, [x for x, _, _ in parts], [y for _, y, _ in parts], [w for _, _, w in parts])
    for one, (x, y, start), got in zip(settings, parts, trained, strict=True):
        weights = {name: w.to(precision).requires_grad_() for name, w in start.items()}
        optimizer = torch.optim.Adam(list(weights.values()), lr=0.01, weight_decay=0.01)
        order = seeds.generator("batches", one.seed)
        for _ in range(4):
            for part in torch.randperm(10, generator=order).split(4):
                optimizer.zero_grad()
                F.cross_entropy(forward(net, weights, x[part].to(precision)), y[part]).backward()
                optimizer.step()
        for name, w in weights.items():
            torch.testing.assert_close(got.weights[name], w.detach(), **tolerance)


def test_it_learns():
    net = NETS[0]
    x, y, start = draw(net, 5)
    [trained] = train_stack(net, [setting(epochs=200)], [x], [y], [start])
    assert trained.facts["train_loss"] < 0.02
    assert trained.facts["epochs_run"] == 200


def test_the_batch_size_names_a_target_of_adam_and_of_no_other():
    digest = "0" * 16
    assert target_id(setting(), digest) != target_id(setting(batch_size=8), digest)
    with pytest.raises(ValidationError, match="batch_size belongs to adam"):
        Setting.model_validate({"optimizer": "gd", "batch_size": 8})


def test_published_targets_keep_their_names():
    rows = load_scores(ROOT / "results")
    rows = rows[(rows["dataset"] == "lfw_faces") & (rows["track"] == "reconstruction")].drop_duplicates("target_id")
    assert len(rows) > 20
    for row in rows.astype(object).where(rows.notna(), None).to_dict("records"):
        assert target_id(setting_of(row), row["data_digest"]) == row["target_id"]
