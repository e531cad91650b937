"""The KKT attacks on convolutional networks: the stack against the loop, the equations against explicit gradients, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from attacks.first_layer_weights import FirstLayerWeights
from attacks.haim_kkt import HaimKKT
from attacks.informed_adversary import InformedAdversary
from attacks.kkt import engine
from attacks.kkt.mask import parameter_weights
from attacks.kkt.objective import kkt_loss_general, stacks
from attacks.mnemonist_informed import MnemonistInformed
from attacks.mnemonist_kkt import MnemonistKKT
from attacks.model_inversion import ModelInversion
from attacks.multiclass_kkt import MulticlassKKT
from attacks.nearest_shadow import NearestShadow
from attacks.random_mask_kkt import RandomMaskKKT
from attacks.regression_kkt import RegressionKKT
from bench import seeds
from bench.api import Architecture
from bench.targets.models import bound_forward, forward, initial_weights
from bench.tracks.reconstruction import Release
from tests.captures import same_every_time

POOLINGS = ["none", "stride", "max", "avg"]
KINDS = [("binary", 1, "bce", HaimKKT), ("multiclass", 3, "ce", MulticlassKKT), ("regression", 1, "mse", RegressionKKT)]


def network(outputs=1, loss="bce", pooling="stride", activation="relu", bias="first", shape=(2, 7, 6)):
    return Architecture("cnn", shape, (9,), outputs, activation, bias, loss, (3, 4), 3, pooling)


def released(net, number, n=3, dtype=torch.float64):
    g = seeds.generator("cnn release", number)
    weights = {name: w.to(dtype) for name, w in initial_weights(net, None, g).items()}
    mean = torch.rand(net.input_shape, generator=g, dtype=dtype)
    return Release(architecture=net, weights=weights, forward=bound_forward(net), n_train=n, mean_image=mean)


def explicit_loss(kind, net, weights, x, lam, labels):
    """L_KKT with one gradient a candidate, through the network's own activation."""
    out = forward(net, weights, x)
    total = {name: torch.zeros_like(w) for name, w in weights.items()}
    for i, label in enumerate(labels.tolist()):
        if kind == "regression":
            g = out[i, 0]
        elif kind == "binary":
            g = out[i, 0] * (2 * label - 1)
        else:
            g = out[i, label] - max(out[i, j] for j in range(net.outputs) if j != label)
        for name, grad in zip(weights, torch.autograd.grad(g, list(weights.values()), retain_graph=True), strict=True):
            total[name] = total[name] + lam[i] / len(x) * grad
    return float(sum((w - total[name]).square().sum() for name, w in weights.items()).detach())


@pytest.mark.parametrize(("kind", "k", "loss"), [case[:3] for case in KINDS])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("activation", ["tanh", "elu"])
def test_the_loss_equals_explicit_gradients(kind, k, loss, pooling, activation):
    net = network(k, loss, pooling, activation, "all")
    weights = {name: w.requires_grad_() for name, w in released(net, 0).weights.items()}
    g = seeds.generator("explicit")
    x, lam = torch.randn(5, 2, 7, 6, generator=g, dtype=torch.float64), torch.randn(5, generator=g, dtype=torch.float64)
    labels = torch.tensor([0, 1, 0, 1, 1])
    value = kkt_loss_general(kind, activation, partial(forward, net), weights, x, lam, labels, torch.ones(()))
    assert value.item() == pytest.approx(explicit_loss(kind, net, weights, x, lam, labels), rel=1e-10)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_a_sharp_surrogate_slope_is_the_networks_own(activation):
    net = network(activation=activation)
    weights = {name: w.requires_grad_() for name, w in released(net, 1).weights.items()}
    g = seeds.generator("sharp")
    x, lam = torch.randn(4, 2, 7, 6, generator=g, dtype=torch.float64), torch.rand(4, generator=g, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1])
    own = explicit_loss("binary", net, weights, x, lam, labels)
    sharp, blunt = (
        kkt_loss_general(
            "binary", activation, partial(forward, net), weights, x, lam, labels, torch.tensor(alpha, dtype=torch.float64)
        ).item()
        for alpha in (1e6, 1.0)
    )
    assert sharp == pytest.approx(own, rel=1e-4)
    assert blunt != pytest.approx(own, rel=1e-4)


@pytest.mark.parametrize(("kind", "k", "loss", "attack"), KINDS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_stack_gives_what_the_loop_gives(kind, k, loss, attack, pooling, monkeypatch):
    """Whole runs with a slope, rates and a start of their own each."""
    net = network(k, loss, pooling)
    releases = [released(net, i) for i in range(3)]
    attacks = [attack(steps=25, dtype="float64", sigma=0.3, alpha=5.0 * (i + 1), lr=0.02 * (i + 1)) for i in range(3)]
    asked = []
    monkeypatch.setattr(engine, "stacks", lambda *given: asked.append(stacks(*given)) or asked[-1])
    together = attack.reconstruct_batch(attacks, releases, [seeds.generator(i) for i in range(3)])
    assert asked == [True]
    for i, answer in enumerate(together):
        alone = attacks[i].reconstruct(releases[i], seeds.generator(i))
        assert answer.loss == pytest.approx(alone.loss, rel=1e-8)
        torch.testing.assert_close(answer.images, alone.images, rtol=0, atol=1e-6)
        torch.testing.assert_close(answer.confidence, alone.confidence, rtol=1e-6, atol=1e-6)
    moved = (
        attacks[0].reconstruct(releases[0], seeds.generator(0)),
        replace(attacks[0], steps=1).reconstruct(releases[0], seeds.generator(0)),
    )
    assert moved[0].loss < moved[1].loss


@pytest.mark.parametrize(("kind", "k", "loss", "attack"), KINDS)
def test_the_stacked_gradient_equals_the_loop_in_double_precision(kind, k, loss, attack):
    net = network(k, loss, "max", bias="all")
    b, m = 3, 6
    releases = [released(net, i) for i in range(b)]
    runs = [engine._Run(attack(dtype="float64"), r, seeds.generator(i)) for i, r in enumerate(releases)]
    g = seeds.generator("gradient")
    x, lam = torch.randn(b, m, 84, generator=g, dtype=torch.float64), torch.randn(b, m, generator=g, dtype=torch.float64)
    labels = torch.randint(0, max(k, 2), (b, m), generator=g)
    alpha = torch.tensor([1.0, 7.0, 30.0], dtype=torch.float64).view(b, 1, 1)
    weights = {
        name: torch.stack([r.weights[name].unsqueeze(0) if name.endswith("bias") else r.weights[name] for r in releases])
        for name in releases[0].weights
    }
    widths, draw = [3, 4, 9, k], partial(torch.rand, generator=g, dtype=torch.float64)
    mask = {i: (draw(b, width), draw(b, [2, 3, weights["layers.2.weight"].shape[-1], 9][i])) for i, width in enumerate(widths)}
    for chosen in (None, mask):
        stacked = engine._General(runs, weights, labels, alpha, chosen)
        loop = engine._General(runs, weights, labels, alpha, chosen)
        assert stacked.stacked
        loop.stacked = False
        for one, other in zip(stacked(x, lam), loop(x, lam), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_a_function_that_takes_no_stack_goes_run_by_run():
    net = network()

    def alone(weights, x, activation=None):
        assert x.dim() == 4, "written for one network"
        return forward(net, weights, x, activation)

    def wrong(weights, x, activation=None):
        """Of a stack it computes something else, without an error."""
        if x.dim() == 5:
            return forward(net, {name: w.flip(0) for name, w in weights.items()}, x, activation)
        return forward(net, weights, x, activation)

    releases = [released(net, i) for i in range(2)]
    weights = {name: torch.stack([r.weights[name] for r in releases]) for name in releases[0].weights}
    assert stacks([r.forward for r in releases], weights, net.input_shape)
    assert not stacks([alone] * 2, weights, net.input_shape)
    assert not stacks([wrong] * 2, weights, net.input_shape)
    attack = HaimKKT(steps=5, dtype="float64")
    for function in (alone, wrong):
        own = [replace(r, forward=function) for r in releases]
        answers = HaimKKT.reconstruct_batch([attack] * 2, own, [seeds.generator(i) for i in range(2)])
        for i, answer in enumerate(answers):
            assert answer.loss == pytest.approx(attack.reconstruct(releases[i], seeds.generator(i)).loss, rel=1e-8)


def test_single_and_double_precision_agree_at_first():
    release = released(network(), 0, dtype=torch.float32)
    single, double = (HaimKKT(steps=10, sigma=0.3, dtype=t).reconstruct(release, seeds.generator(0)) for t in ("float32", "float64"))
    assert single.images.dtype == torch.float32
    torch.testing.assert_close(single.images, double.images, rtol=0, atol=1e-3)


def test_masks_weigh_kernels_by_their_channels():
    w = torch.ones(4, 3, 2, 2)
    rows, columns = torch.arange(4.0), torch.tensor([1.0, 10.0, 100.0])
    factor = parameter_weights({0: (rows, columns)}, "layers.0.weight", w, {"layers.0": 0})
    torch.testing.assert_close((factor * w)[2, 1], torch.full((2, 2), 20.0))
    stacked = parameter_weights({0: (torch.stack([rows, 2 * rows]), None)}, "layers.0.weight", w.expand(2, 4, 3, 2, 2), {"layers.0": 0})
    torch.testing.assert_close((stacked * w)[1, 3], torch.full((3, 2, 2), 6.0))


def test_memory_follows_the_feature_maps():
    wide, halved = released(network(pooling="none", shape=(2, 24, 24)), 0), released(network(pooling="stride", shape=(2, 24, 24)), 0)
    attack = RegressionKKT()
    assert engine._activations(wide) == 7 * 24 * 24 + 9
    assert engine._activations(halved) == 3 * 144 + 4 * 36 + 9
    weights = sum(w.numel() for w in wide.weights.values())
    assert attack.memory(wide) == 4 * (6 * (engine.DERIVATIVES * (7 * 576 + 9) + 12 * 1152) + engine.GRADIENTS * weights)
    assert attack.memory(halved) < attack.memory(wide)
    assert replace(attack, dtype="float64").memory(wide) == 2 * attack.memory(wide)


@pytest.mark.parametrize(
    ("attack", "net", "words"),
    [
        (HaimKKT(), network(), ""),
        (HaimKKT(), network(activation="tanh"), "homogeneous"),
        (MulticlassKKT(), network(3, "ce"), ""),
        (RegressionKKT(), network(activation="gelu", bias="all", loss="huber"), ""),
        (MnemonistKKT(), network(), "fully connected"),
        (RandomMaskKKT(), network(), "fully connected"),
        (FirstLayerWeights(), network(), "fully connected"),
        (ModelInversion(), network(3, "ce"), ""),
        (InformedAdversary(), network(), "fully connected"),
        (NearestShadow(), network(), "fully connected"),
        (MnemonistInformed(), network(), "fully connected"),
    ],
)
def test_what_applies_to_convolutions(attack, net, words):
    reason = attack.unsupported(net)
    assert words in reason if words else reason == ""


@pytest.mark.parametrize(("kind", "k", "loss", "attack"), KINDS)
@pytest.mark.parametrize("pooling", ["stride", "max", "avg"])
def test_a_step_through_our_own_forward_can_be_captured_and_through_others_is_not(monkeypatch, kind, k, loss, attack, pooling):
    net, asked = network(k, loss, pooling), []

    def watched(step, times, device, alone):
        asked.append((times, alone))
        same_every_time(step, times)

    monkeypatch.setattr(engine, "repeat", watched)
    one = attack(steps=6, sigma=0.3)
    releases = [released(net, i, dtype=torch.float32) for i in range(2)]
    answers = attack.reconstruct_batch([one] * 2, releases, [seeds.generator(i) for i in range(2)])
    assert asked == [(6, False)]
    assert all(answer.images.isfinite().all() for answer in answers)
    one.reconstruct(releases[0], seeds.generator(0))
    assert asked[1:] == [(6, True)]
    foreign = replace(releases[0], forward=lambda weights, x, activation=None: forward(net, weights, x, activation))
    one.reconstruct(foreign, seeds.generator(0))
    assert asked[2:] == []
