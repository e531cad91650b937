"""Training: the span basis and the stack change nothing, the losses' gradients are right, and the facts are true."""

from __future__ import annotations

import pytest
import torch

from bench import seeds
from bench.api import Rehearsal, Setting
from bench.precision import pinned, watched
from bench.targets import one_missing
from bench.targets.losses import accuracy, loss_gradient, loss_targets, loss_value
from bench.targets.models import (
    activation_function,
    activation_slope,
    architecture,
    forward,
    initial_weights,
)
from bench.targets.one_missing import Known
from bench.targets.train import train_stack
from bench.targets.train_adam import ByAdam
from tests.captures import Watched

ACTIVATIONS = ["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"]
LOSSES = ["bce", "ce", "mse", "huber"]


def problem(n=6, shape=(1, 5, 6), k=2, **fields):
    """A setting, its architecture, centred inputs, labels and initial weights, from fixed names."""
    settings = {"hidden": (7, 5), "epochs": 60, "lr": 0.1, "dtype": "float64", "weight_decay": 0.01, **fields}
    setting = Setting(**settings)
    net = architecture(setting, shape, k)
    g = seeds.generator("test", setting.seed)
    x = torch.rand(n, *shape, generator=g, dtype=torch.float64)
    labels = torch.arange(n) % k
    return setting, net, x - x.mean(0), labels, initial_weights(net, setting.init_scale, g)


def plain_gradient_descent(setting, net, x, labels, start):
    """The textbook loop: pixel space, autograd, torch.optim.SGD."""
    weights = {k: w.clone().requires_grad_() for k, w in start.items()}
    momentum = {"gd": 0.0, "heavy_ball": 0.9}[setting.optimizer]
    optimizer = torch.optim.SGD(weights.values(), lr=setting.lr, weight_decay=setting.weight_decay, momentum=momentum)
    target = loss_targets(setting.loss, labels, net.outputs)
    for _ in range(setting.epochs):
        optimizer.zero_grad()
        loss_value(setting.loss, forward(net, weights, x), target).backward()
        optimizer.step()
    return {k: w.detach() for k, w in weights.items()}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", ["first", "all", "none"])
def test_equals_plain_gradient_descent(activation, bias):
    case = problem(activation=activation, bias=bias)
    trained = train_stack(case[1], [case[0]], [case[2]], [case[3]], [case[4]])[0]
    for name, expected in plain_gradient_descent(*case).items():
        torch.testing.assert_close(trained.weights[name], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("loss", "classes"), [("bce", 2), ("ce", 2), ("ce", 3), ("mse", 2), ("mse", 3), ("huber", 2), ("huber", 3)])
def test_every_loss_equals_plain_gradient_descent(loss, classes):
    case = problem(k=classes, loss=loss, classes="binary" if classes == 2 else classes)
    trained = train_stack(case[1], [case[0]], [case[2]], [case[3]], [case[4]])[0]
    for name, expected in plain_gradient_descent(*case).items():
        torch.testing.assert_close(trained.weights[name], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n", [6, 40])  # with and without the span basis
def test_heavy_ball_equals_plain_sgd_with_momentum(n):
    case = problem(n=n, optimizer="heavy_ball", bias="all")
    trained = train_stack(case[1], [case[0]], [case[2]], [case[3]], [case[4]])[0]
    for name, expected in plain_gradient_descent(*case).items():
        torch.testing.assert_close(trained.weights[name], expected, rtol=1e-9, atol=1e-12)


def test_more_images_than_pixels_needs_no_basis():
    case = problem(n=12, shape=(1, 2, 3))
    trained = train_stack(case[1], [case[0]], [case[2]], [case[3]], [case[4]])[0]
    for name, expected in plain_gradient_descent(*case).items():
        torch.testing.assert_close(trained.weights[name], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["gd", "heavy_ball"])
@pytest.mark.parametrize("bias", ["first", "all", "none"])
def test_a_stack_gives_what_single_runs_give(optimizer, bias):
    draws = [(0, 0.1, 0.01), (1, 0.05, 0.0), (2, 0.2, 0.1)]
    cases = [problem(seed=s, lr=lr, weight_decay=wd, optimizer=optimizer, bias=bias) for s, lr, wd in draws]
    columns = list(zip(*cases, strict=True))
    stacked = train_stack(cases[0][1], columns[0], columns[2], columns[3], columns[4])
    for case, together in zip(cases, stacked, strict=True):
        alone = train_stack(case[1], [case[0]], [case[2]], [case[3]], [case[4]])[0]
        for a, b in zip(together.facts["loss_curve"], alone.facts["loss_curve"], strict=True):
            assert a == pytest.approx(b)
        for name, expected in alone.weights.items():
            torch.testing.assert_close(together.weights[name], expected, rtol=1e-8, atol=1e-12)


def test_stops_at_the_loss_asked_for_and_each_network_on_its_own():
    easy = problem(epochs=1000, stop_loss=0.4, weight_decay=0.0, init_scale=None, lr=0.5)
    never = problem(epochs=1000, stop_loss=0.0, weight_decay=0.0, init_scale=None, lr=0.5)
    stopped, full = train_stack(easy[1], [easy[0], never[0]], [easy[2]] * 2, [easy[3]] * 2, [easy[4]] * 2)
    assert stopped.facts["train_loss"] <= 0.4
    assert stopped.facts["epochs_run"] < full.facts["epochs_run"] == 1000
    short = problem(epochs=stopped.facts["epochs_run"], weight_decay=0.0, init_scale=None, lr=0.5)
    for name, expected in plain_gradient_descent(*short).items():
        torch.testing.assert_close(stopped.weights[name], expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_gradients(loss):
    k = 1 if loss == "bce" else 3
    out = torch.randn(2, 5, k, generator=seeds.generator("out"), dtype=torch.float64, requires_grad=True)
    target = loss_targets(loss, torch.tensor([[0, 1, 0, 1, 1], [1, 0, 0, 1, 0]]), k)
    (expected,) = torch.autograd.grad(loss_value(loss, out, target).sum(), out)
    torch.testing.assert_close(loss_gradient(loss, out.detach(), target), expected)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_slopes(name):
    z = torch.linspace(-4, 4, 41, dtype=torch.float64).requires_grad_()
    (expected,) = torch.autograd.grad(activation_function(name)(z).sum(), z)
    torch.testing.assert_close(activation_slope(name, z.detach()), expected, rtol=1e-9, atol=1e-9)


def test_accuracy_by_sign_and_by_argmax():
    assert accuracy(torch.tensor([[1.0], [-1.0], [2.0]]), torch.tensor([1, 1, 1])).item() == pytest.approx(2 / 3)
    assert accuracy(torch.tensor([[0.0, 1.0], [3.0, 1.0]]), torch.tensor([1, 1])).item() == 0.5


def test_initial_weights_follow_the_papers():
    setting = Setting(hidden=(400, 300), init_scale=1e-4)
    net = architecture(setting, (3, 16, 16), 2)
    weights = initial_weights(net, setting.init_scale, seeds.generator("init"))
    assert set(weights) == {"layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.2.weight"}
    assert weights["layers.0.weight"].std().item() == pytest.approx(1e-4, rel=0.02)
    bound = 1 / 400**0.5
    assert weights["layers.1.weight"].abs().max().item() <= bound
    assert weights["layers.1.weight"].std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


@pytest.mark.parametrize("kind", ["span", "momentum", "cnn", "adam", "adam cnn", "one missing"])
def test_a_step_of_training_that_is_captured_reads_nothing_back_and_trains_the_same(monkeypatch, kind):
    """As a GPU would replay it, but on this CPU."""
    fields = {"span": {"bias": "all"}, "momentum": {"optimizer": "heavy_ball"}, "cnn": {"model": "cnn", "channels": (3,), "pooling": "max"}}
    adam = {"optimizer": "adam", "batch_size": 4, "epochs": 8, "dtype": "float32"}
    fields |= {"adam": adam, "adam cnn": {**adam, "model": "cnn", "channels": (3,)}, "one missing": {"init_scale": None}}
    setting, net, x, labels, start = problem(shape=(1, 6, 6), **fields[kind])

    def trained():
        if kind == "one missing":
            known = Known(net, setting, x[:5], labels[:5], start, 60)
            made = one_missing.train(known, x[5:], labels[5:])
            return made.tensors(), 60
        several = [[v, v] for v in (setting, x, labels, start)]
        made = train_stack(net, *several)[1]
        return made.weights, made.facts["epochs_run"]

    expected, epochs = trained()
    Watched.steps = 0
    for module in ("train", "one_missing"):
        monkeypatch.setattr(f"bench.targets.{module}.Repeated", Watched)
    weights, again = trained()
    assert Watched.steps == again == epochs
    assert all(torch.equal(w, expected[name]) for name, w in weights.items())


def test_training_on_rehearsals_is_not_captured():
    """They take turns that Python counts."""
    setting, net, x, labels, start = problem(optimizer="adam", batch_size=4, epochs=2, dtype="float32")
    given = net, [setting], {k: w[None] for k, w in start.items()}, x[None], loss_targets("bce", labels[None], 1).float()
    assert ByAdam(*given).replayable
    assert not ByAdam(*given, [Rehearsal(torch.rand(3, 2, *net.input_shape), torch.rand(3, 5, 2), torch.arange(5) % 2, 1.0)]).replayable


def test_training_is_in_full_float32_whatever_was_set():
    setting, net, x, labels, start = problem(dtype="float32", epochs=3)
    seen = []
    with pinned("tf32"), watched(torch.device("cuda")) as watch:
        trained = train_stack(net, [setting], [x], [labels], [start])[0]
        seen.append(watch.coarsest)
    assert seen == ["ieee"]
    assert trained.facts["rounding_train"] == "ieee"
