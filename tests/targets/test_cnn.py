"""Convolutional targets: equal to PyTorch's modules and optimisers, alone and stacked; refused clearly where they cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from bench import seeds
from bench.api import Setting
from bench.errors import BenchError
from bench.targets.cache import TargetCache
from bench.targets.convolutions import activations_per_image, feature_maps
from bench.targets.losses import loss_targets, loss_value
from bench.targets.models import architecture, forward, initial_weights, layer_widths, weight_shapes
from bench.targets.train import train_stack
from bench.tracks.reconstruction.targets import obtain

ACTIVATIONS = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU, "softplus": nn.Softplus, "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}  # fmt: skip
POOLINGS = ["none", "stride", "max", "avg"]


def problem(n=5, shape=(2, 9, 8), k=2, **fields):
    """A setting, its architecture, centred inputs, labels and initial weights, from fixed names."""
    given = {
        "model": "cnn", "channels": (3, 4), "hidden": (7,), "epochs": 40, "lr": 0.05, "dtype": "float64", "weight_decay": 0.01,
        "init_scale": None, **fields,
    }  # fmt: skip
    setting = Setting(**given)
    net = architecture(setting, shape, k)
    g = seeds.generator("cnn", setting.seed)
    x = torch.rand(n, *shape, generator=g, dtype=torch.float64)
    return setting, net, x - x.mean(0), torch.arange(n) % k, initial_weights(net, setting.init_scale, g)


def as_module(net, weights):
    """The same network of PyTorch's own parts, with these weights; its i-th layer with weights is layer i."""
    parts, channels, biased = [], net.input_shape[0], net.bias
    for i, width in enumerate(net.channels):
        bias = biased == "all" or (biased == "first" and i == 0)
        stride = 2 if net.pooling == "stride" else 1
        parts += [nn.Conv2d(channels, width, net.kernel, stride, net.kernel // 2, bias=bias), ACTIVATIONS[net.activation]()]
        parts += {"max": [nn.MaxPool2d(2)], "avg": [nn.AvgPool2d(2)]}.get(net.pooling, [])
        channels = width
    parts.append(nn.Flatten())
    for width in (*net.hidden, net.outputs):
        parts += [nn.LazyLinear(width, bias=biased == "all"), ACTIVATIONS[net.activation]()]
    module = nn.Sequential(*parts[:-1]).double()
    module(torch.zeros(1, *net.input_shape, dtype=torch.float64))
    layers = [part for part in module if isinstance(part, nn.Conv2d | nn.Linear)]
    for i, layer in enumerate(layers):
        for name, parameter in layer.named_parameters():
            parameter.data.copy_(weights[f"layers.{i}.{name}"])
    assert len(weights) == sum(1 for _ in module.parameters())
    return module, [(f"layers.{i}.{name}", p) for i, layer in enumerate(layers) for name, p in layer.named_parameters()]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", ["first", "all", "none"])
def test_equals_pytorchs_modules(pooling, activation, bias):
    _, net, x, _, weights = problem(pooling=pooling, activation=activation, bias=bias)
    module, _ = as_module(net, weights)
    torch.testing.assert_close(forward(net, weights, x), module(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(("shape", "kernel"), [((1, 25, 25), 3), ((3, 7, 12), 5), ((1, 8, 8), 1), ((1, 6, 5), 2), ((2, 5, 5), 7)])
def test_odd_sizes_and_other_kernels_equal_pytorchs_modules(pooling, shape, kernel):
    _, net, x, _, weights = problem(pooling=pooling, shape=shape, kernel=kernel, channels=(3, 2))
    module, _ = as_module(net, weights)
    torch.testing.assert_close(forward(net, weights, x), module(x), rtol=1e-10, atol=1e-12)
    assert layer_widths(net)[0] == module[-3].in_features


@pytest.mark.parametrize("pooling", POOLINGS)
def test_leading_dimensions_of_weights_and_inputs_go_through_together(pooling):
    cases = [problem(pooling=pooling, bias="all", seed=s) for s in range(6)]
    net = cases[0][1]
    weights = {name: torch.stack([c[4][name] for c in cases]) for name in cases[0][4]}
    x = torch.stack([c[2] for c in cases])
    alone = torch.stack([forward(net, c[4], c[2]) for c in cases])
    torch.testing.assert_close(forward(net, weights, x), alone)
    grid = {name: w.unflatten(0, (2, 3)) for name, w in weights.items()}
    torch.testing.assert_close(forward(net, grid, x.unflatten(0, (2, 3))), alone.unflatten(0, (2, 3)))
    one = {name: w[0] for name, w in weights.items()}
    torch.testing.assert_close(forward(net, one, x)[3], forward(net, one, x[3]))  # one network, many sets of images
    torch.testing.assert_close(forward(net, weights, x[0])[3], forward(net, {name: w[3] for name, w in weights.items()}, x[0]))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_second_derivatives(pooling, activation):
    """What the attacks need: the gradient, by inputs, of a function of the gradients by weights."""
    _, net, x, _, weights = problem(n=2, shape=(1, 6, 5), channels=(2, 2), hidden=(3,), pooling=pooling, activation=activation)
    names = list(weights)

    def by_weights(x, *values):
        out = forward(net, dict(zip(names, values, strict=True)), x)
        return torch.autograd.grad(out.sum(), values, create_graph=True)

    values = [weights[name].clone().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(lambda x: by_weights(x, *values), x.clone().requires_grad_())


def textbook(setting, net, x, labels, start):
    """PyTorch's modules, autograd and SGD."""
    module, named = as_module(net, start)
    momentum = {"gd": 0.0, "heavy_ball": 0.9}[setting.optimizer]
    optimizer = torch.optim.SGD(module.parameters(), lr=setting.lr, weight_decay=setting.weight_decay, momentum=momentum)
    target = loss_targets(setting.loss, labels, net.outputs)
    for _ in range(setting.epochs):
        optimizer.zero_grad()
        loss_value(setting.loss, module(x), target).backward()
        optimizer.step()
    return {name: p.detach() for name, p in named}


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("optimizer", ["gd", "heavy_ball"])
@pytest.mark.parametrize(("loss", "classes", "decay"), [("bce", 2, 0.01), ("ce", 3, 0.01), ("mse", 2, 0.0), ("huber", 3, 0.1)])
def test_training_equals_pytorchs_sgd(pooling, optimizer, loss, classes, decay):
    named = "binary" if classes == 2 else classes
    case = problem(n=6, k=classes, pooling=pooling, optimizer=optimizer, loss=loss, classes=named, weight_decay=decay)
    trained = train_stack(case[1], [case[0]], [case[2]], [case[3]], [case[4]])[0]
    for name, expected in textbook(*case).items():
        torch.testing.assert_close(trained.weights[name], expected, rtol=1e-8, atol=1e-10)
    assert trained.facts["epochs_run"] == 40
    assert trained.facts["train_loss"] == pytest.approx(trained.facts["loss_curve"][-1][1])
    assert trained.facts["train_loss"] != pytest.approx(trained.facts["loss_curve"][0][1], rel=1e-6)


@pytest.mark.parametrize("optimizer", ["gd", "heavy_ball"])
def test_a_stack_trains_as_single_runs_do_and_each_stops_on_its_own(optimizer):
    draws = [(0, 0.1, 0.01, 0.5), (1, 0.05, 0.0, 0.0), (2, 0.2, 0.1, 0.0)]
    cases = [
        problem(seed=s, lr=lr, weight_decay=wd, stop_loss=stop, optimizer=optimizer, pooling="max", epochs=300) for s, lr, wd, stop in draws
    ]
    columns = list(zip(*cases, strict=True))
    stacked = train_stack(cases[0][1], columns[0], columns[2], columns[3], columns[4])
    for case, together in zip(cases, stacked, strict=True):
        alone = train_stack(case[1], [case[0]], [case[2]], [case[3]], [case[4]])[0]
        assert together.facts["epochs_run"] == alone.facts["epochs_run"]
        assert together.facts["train_loss"] == pytest.approx(alone.facts["train_loss"])
        for name, expected in alone.weights.items():
            torch.testing.assert_close(together.weights[name], expected, rtol=1e-8, atol=1e-10)
    assert stacked[0].facts["epochs_run"] < stacked[1].facts["epochs_run"] == 300


def test_single_precision_and_the_start_is_left_alone():
    case = problem(dtype="float32", epochs=3)
    before = {name: w.clone() for name, w in case[4].items()}
    trained = train_stack(case[1], [case[0]], [case[2]], [case[3]], [case[4]])[0]
    assert all(w.dtype == torch.float32 and not w.requires_grad for w in trained.weights.values())
    assert all(torch.equal(case[4][name], w) for name, w in before.items())
    double = problem(dtype="float64", epochs=3)
    precise = train_stack(double[1], [double[0]], [double[2]], [double[3]], [double[4]])[0]
    for name, w in precise.weights.items():
        torch.testing.assert_close(trained.weights[name].double(), w, rtol=1e-4, atol=1e-6)


def test_initial_weights_of_convolutions():
    setting = Setting(model="cnn", channels=(40, 50), hidden=(30,), init_scale=1e-4)
    net = architecture(setting, (3, 16, 16), 2)
    weights = initial_weights(net, setting.init_scale, seeds.generator("init"))
    assert [tuple(weights[f"layers.{i}.weight"].shape) for i in range(4)] == weight_shapes(net)
    assert weight_shapes(net) == [(40, 3, 3, 3), (50, 40, 3, 3), (30, 50 * 4 * 4), (1, 30)]
    assert weights["layers.0.weight"].std().item() == pytest.approx(1e-4, rel=0.1)
    assert weights["layers.0.bias"].shape == (40,)
    bound = 1 / (40 * 9) ** 0.5  # PyTorch's default: uniform within 1/√fan_in
    assert weights["layers.1.weight"].abs().max().item() <= bound
    assert weights["layers.1.weight"].std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_sizes_of_feature_maps_by_hand():
    net = architecture(Setting(model="cnn", channels=(8, 16), pooling="max", hidden=(5,)), (1, 25, 25), 2)
    assert feature_maps(net) == [(8, 12, 12), (16, 6, 6)]
    assert activations_per_image(net) == 8 * (625 + 144) + 16 * (144 + 36) + 5
    assert feature_maps(replace(net, pooling="stride")) == [(8, 13, 13), (16, 7, 7)]
    assert activations_per_image(replace(net, pooling="stride")) == 8 * 169 + 16 * 49 + 5
    assert feature_maps(replace(net, pooling="none")) == [(8, 25, 25), (16, 25, 25)]


def test_images_too_small_for_the_poolings_are_refused_before_anything_trains():
    setting = Setting(model="cnn", channels=(4,) * 4, pooling="max")
    architecture(setting, (1, 16, 16), 2)
    with pytest.raises(BenchError, match=r"15×15 are too small for 4 convolutions with max pooling") as error:
        architecture(setting, (1, 15, 15), 2)
    assert "1×1" in str(error.value)


@pytest.mark.parametrize("field", [{"channels": (16,)}, {"kernel": 5}, {"pooling": "max"}])
def test_a_fully_connected_network_has_no_fields_of_convolutions(field):
    with pytest.raises(ValidationError, match="belongs to a cnn, and model is 'mlp'"):
        Setting(**field)
    assert Setting(model="cnn", **field).model == "cnn"


def test_obtained_with_its_facts_from_the_cache_too(bench_home):
    cache, trained = TargetCache(bench_home), []
    settings = [Setting(model="cnn", channels=(4,), hidden=(6,), n_per_class=3, epochs=20, seed=s) for s in (0, 1)]
    first = obtain(settings, cache, on_trained=trained.append)
    again = obtain(settings, cache, on_trained=trained.append)
    assert trained == settings
    for a, b in zip(first, again, strict=True):
        assert a.facts == b.facts
        assert 0 <= a.facts["kkt_residual"] <= 1
        assert len(a.facts["multipliers"]) == 6
        assert a.release.architecture.channels == (4,)
        for name, w in a.release.weights.items():
            assert torch.equal(w, b.release.weights[name])
