"""Networks that share all images but one: the shared basis changes nothing, whatever the network, and the watch sees the same weights."""

from __future__ import annotations

import pytest
import torch

from bench import seeds
from bench.api import Setting
from bench.targets import one_missing
from bench.targets.losses import loss_targets, loss_value
from bench.targets.models import architecture, forward, initial_weights
from bench.targets.one_missing import Compact, Known

ACTIVATIONS = ["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"]


def problem(n: int = 6, b: int = 3, shape: tuple[int, int, int] = (1, 5, 6), **fields) -> tuple[Known, torch.Tensor, torch.Tensor]:
    values = {"hidden": (7, 4), "epochs": 25, "lr": 0.2, "dtype": "float64", "classes": 3, "loss": "ce", "bias": "all", "init_scale": None}
    setting = Setting(**{**values, **fields})
    net = architecture(setting, shape, 2 if setting.classes == "binary" else int(setting.classes))
    g = seeds.generator("one missing", n)
    images = torch.rand(n + b, *shape, generator=g)
    labels = torch.arange(n + b) % (2 if setting.classes == "binary" else int(setting.classes))
    start = initial_weights(net, setting.init_scale, g)
    return Known(net, setting, images[:n], labels[:n], start, setting.epochs), images[n:], labels[n:]


def naive(known: Known, image: torch.Tensor, label: torch.Tensor, epochs: int | None = None) -> dict[str, torch.Tensor]:
    """PyTorch's own SGD on one network, all pixels, float64."""
    s = known.setting
    weights = {k: v.double().clone().requires_grad_() for k, v in known.start.items()}
    momentum = 0.9 if s.optimizer == "heavy_ball" else 0.0
    optimizer = torch.optim.SGD(list(weights.values()), lr=s.lr, momentum=momentum, weight_decay=s.weight_decay)
    x = torch.cat([known.images, image[None]]).double() - known.mean.double()
    y = torch.cat([known.labels, label[None]])
    for _ in range(known.epochs if epochs is None else epochs):
        optimizer.zero_grad()
        out = forward(known.architecture, weights, x)
        loss_value(s.loss, out, loss_targets(s.loss, y, known.architecture.outputs)).backward()
        optimizer.step()
    return {k: v.detach() for k, v in weights.items()}


def assert_equal(known, images, labels):
    weights = one_missing.expand(known, one_missing.train(known, images, labels), images)
    for i in range(len(images)):
        for name, value in naive(known, images[i], labels[i]).items():
            assert torch.allclose(weights[name][i], value, rtol=1e-9, atol=1e-9), (name, i)
    assert list(weights) == list(known.start)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_network_is_trained_as_if_alone(activation):
    assert_equal(*problem(activation=activation))


@pytest.mark.parametrize(
    "fields",
    [
        {"weight_decay": 0.02},
        {"optimizer": "heavy_ball", "lr": 0.05},
        {"optimizer": "heavy_ball", "weight_decay": 0.02, "lr": 0.05},
        {"hidden": (9,), "bias": "none"},
        {"classes": "binary", "loss": "bce", "bias": "first"},
        {"loss": "mse", "init_scale": 1e-3},
        {"n": 40},  # more images than pixels: no basis to gain from
        {"n": 1},
    ],
    ids=str,
)
def test_whatever_the_setting(fields):
    n = fields.pop("n", 6)
    assert_equal(*problem(n=n, **fields))


def test_an_image_inside_the_span_of_the_known_ones():
    known, images, labels = problem()
    images = images.clone()
    images[0] = known.images[0]
    assert_equal(known, images, labels)


def test_float32_and_chunks_give_the_same(monkeypatch):
    known, images, labels = problem(b=5, optimizer="heavy_ball", lr=0.05)
    whole = one_missing.train(known, images, labels)
    monkeypatch.setitem(one_missing.CACHED, "cpu", 1)
    single = one_missing.train(known, images, labels)
    for name, value in whole.tensors().items():
        assert torch.allclose(value, single.tensors()[name], rtol=1e-12, atol=1e-12), name
    back = Compact.of(whole.tensors())
    assert one_missing.expand(known, back, images)["layers.0.weight"].shape == (5, 7, 30)
    small, _, _ = problem(b=5, optimizer="heavy_ball", lr=0.05, dtype="float32")
    weights = one_missing.expand(small, one_missing.train(small, images, labels), images)
    exact = one_missing.expand(known, whole, images)
    for name, value in exact.items():
        assert weights[name].dtype == torch.float32
        assert torch.allclose(weights[name].double(), value, atol=1e-4), name


def test_where_memory_runs_out_fewer_are_trained_at_once(monkeypatch):
    known, images, labels = problem(b=5)
    whole, counts, train = one_missing.train(known, images, labels), [], one_missing._Basis.train

    def short(self, images, labels, watch):
        counts.append(len(images))
        if len(images) > 2:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return train(self, images, labels, watch)

    monkeypatch.setattr(one_missing._Basis, "train", short)
    pieces = one_missing.train(known, images, labels)
    assert counts == [5, 3, 2, 2, 1]
    for name, value in whole.tensors().items():
        assert torch.allclose(value, pieces.tensors()[name], rtol=1e-12, atol=1e-12), name


def test_the_watch_sees_the_weights_of_every_epoch():
    known, images, labels = problem(weight_decay=0.01, optimizer="heavy_ball", lr=0.05)
    seen = {}

    def watch(epoch, loss, now):
        seen[epoch] = (loss, now())
        return epoch == 7

    one_missing.train(known, images[:1], labels[:1], watch=watch)
    assert list(seen) == list(range(8))
    for epoch in (0, 3, 7):
        for name, value in naive(known, images[0], labels[0], epoch).items():
            assert torch.allclose(seen[epoch][1][name], value, rtol=1e-9, atol=1e-9), (epoch, name)


def test_the_recipe_stops_at_its_loss():
    known, _, _ = problem(stop_loss=0.9, epochs=500)
    epochs, loss = one_missing.epochs_to_loss(known)
    assert loss <= 0.9
    assert 0 < epochs < 500
    alone = Known(known.architecture, known.setting, known.images[:-1], known.labels[:-1], known.start, epochs)
    # trained on the known images alone, whose mean is that of all of them
    weights = naive_on(alone, known)
    out = forward(known.architecture, weights, known.images.double() - known.mean.double())
    value = loss_value("ce", out, loss_targets("ce", known.labels, 3))
    assert float(value) == pytest.approx(loss, rel=1e-6)
    never, _, _ = problem(stop_loss=0.0, epochs=12)
    assert one_missing.epochs_to_loss(never)[0] == 12


def naive_on(alone: Known, known: Known) -> dict[str, torch.Tensor]:
    weights = {k: v.double().clone().requires_grad_() for k, v in known.start.items()}
    optimizer = torch.optim.SGD(list(weights.values()), lr=known.setting.lr)
    x = known.images.double() - known.mean.double()
    for _ in range(alone.epochs):
        optimizer.zero_grad()
        loss_value("ce", forward(known.architecture, weights, x), loss_targets("ce", known.labels, 3)).backward()
        optimizer.step()
    return {k: v.detach() for k, v in weights.items()}
