"""ntk_kkt: its objective against a plain double backward, its stack against single runs, what decay has left, and that it recovers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from attacks.kkt.change import change, decay_left
from attacks.kkt.engine import _General, _Run
from attacks.kkt.gradient import kkt_gradient
from attacks.kkt.objective import kkt_loss, kkt_loss_general
from attacks.kkt.shallow import Shallow, fits
from attacks.kkt.subspace import row_space
from attacks.mean_image import MeanImage
from attacks.ntk_kkt import NtkKKT
from bench import seeds
from bench.api import DIVERGED, Architecture, Setting
from bench.metrics.ssim import ssim_matrix
from bench.targets.models import bound_forward, forward, initial_weights
from bench.tracks.reconstruction import Release
from bench.tracks.reconstruction.targets import obtain

DOUBLE = torch.float64
SHARP = 7.0  # of the smoothed relu


def smoothed(name, z):
    """The activation as the attack has it: relu forward, σ(βz) as its slope, and that slope's own slope."""
    if name == "tanh":
        return torch.tanh(z)
    soft = F.softplus(z, beta=SHARP, threshold=1e9)
    return soft + (torch.relu(z) - soft).detach()


def double_backward(net, weights, sought, x, lam):
    """‖sought − (1/m) Σ_ik λ_ik ∇Φ_k(xᵢ)‖² and its gradients, a backward pass for every candidate and output, written from the definition.

    An MLP layer by layer, a cnn (one stride-2 convolution) by conv2d.
    """
    x, lam = x.clone().requires_grad_(), lam.clone().requires_grad_()
    leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
    depth = sum(1 for name in weights if name.endswith("weight"))
    total = {name: torch.zeros_like(w) for name, w in weights.items()}
    for i in range(len(x)):
        a = x[i].flatten()[None]
        for layer in range(depth):
            w, b = leaves[f"layers.{layer}.weight"], leaves.get(f"layers.{layer}.bias")
            z = F.linear(a, w, b) if w.dim() == 2 else F.conv2d(x[i][None], w, b, stride=2, padding=w.shape[-1] // 2).flatten(1)
            a = smoothed(net.activation, z) if layer < depth - 1 else z
        for k in range(net.outputs):
            grads = torch.autograd.grad(a[0, k], list(leaves.values()), create_graph=True)
            for name, grad in zip(leaves, grads, strict=True):
                total[name] = total[name] + lam[i, k] * grad / len(x)
    loss = sum((sought[name] - total[name]).square().sum() for name in weights)
    return loss.detach(), *torch.autograd.grad(loss, [x, lam])


def problem(net, m=5):
    g = seeds.generator("ntk", str(net))
    weights = initial_weights(net, None, g)
    sought = {name: 0.3 * torch.randn(w.shape, generator=g, dtype=DOUBLE) for name, w in weights.items()}
    x = torch.randn(m, *net.input_shape, generator=g, dtype=DOUBLE)
    return weights, sought, x, torch.randn(m, net.outputs, generator=g, dtype=DOUBLE)


def rows(named):
    """A stack of one network, biases as rows."""
    return {name: (w[None] if w.dim() > 1 else w[None, None]) for name, w in named.items()}


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("bias", ["all", "first", "none"])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("hidden", [(9,), (9, 8)])
def test_objective_and_gradient_equal_a_double_backward(activation, bias, outputs, hidden):
    net = Architecture("mlp", (1, 2, 4), hidden, outputs, activation, bias, "mse")
    weights, sought, x, lam = problem(net)
    expected = double_backward(net, weights, sought, x, lam)
    labels, alpha = torch.zeros(1, len(x), dtype=torch.long), torch.full((1, 1, 1), SHARP, dtype=DOUBLE)
    at = x.flatten(1)[None], lam.flatten()[None]
    ways = [kkt_gradient("regression", activation, rows(weights), *at, labels, alpha, sought=rows(sought))]
    if len(hidden) == 1 and outputs == 1:
        assert fits("regression", rows(weights), len(x))
        few = Shallow("regression", activation, rows(weights), labels, alpha / 3, at[0], sought=rows(sought))
        few.alpha.copy_(alpha)
        few.sharpen()
        ways.append(few(*at, True))
    for loss, by_x, by_lam in ways:
        torch.testing.assert_close(loss[0], expected[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(by_x[0].view_as(x), expected[1], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(by_lam[0].view_as(lam), expected[2], rtol=1e-9, atol=1e-9)
    closed = kkt_loss("regression", activation, rows(weights), *at, labels, alpha, sought=rows(sought))
    torch.testing.assert_close(closed[0], expected[0], rtol=1e-9, atol=1e-9)
    general = kkt_loss_general(
        "regression", activation, partial(forward, net), weights, x, lam.flatten(), labels[0], alpha[0, 0], sought=sought
    )
    torch.testing.assert_close(general, expected[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_through_autograd_convolutions_equal_a_double_backward(activation, outputs):
    net = Architecture("cnn", (2, 6, 6), (7,), outputs, activation, "all", "mse", (3,), 3, "stride")
    weights, sought, x, lam = problem(net)
    expected = double_backward(net, weights, sought, x, lam)
    release = Release(architecture=net, weights=weights, forward=bound_forward(net), n_train=3, initial_weights=sought)
    run = _Run(NtkKKT(), release, seeds.generator("run"))
    alpha = torch.full((1, 1, 1), SHARP, dtype=DOUBLE)
    general = _General([run], rows(weights), torch.zeros(1, len(x), dtype=torch.long), alpha, None, rows(sought))
    loss, by_x, by_lam = general(x.flatten(1)[None], lam.flatten()[None])
    torch.testing.assert_close(loss[0], expected[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(by_x[0].view_as(x), expected[1], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(by_lam[0].view_as(lam), expected[2], rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def targets():
    """Ordinary networks: PyTorch's initialisation, no weight decay."""
    common = {"dataset": "photo_tiles", "n_per_class": 4, "hidden": (200,), "loss": "mse", "lr": 0.01, "epochs": 3000, "init_scale": None}
    return obtain([Setting(seed=s, **common) for s in range(3)])


@pytest.mark.parametrize("changes", [{}, {"subspace": "none"}, {"alpha_end": None}, {"path": "general"}])
def test_a_stack_gives_what_single_runs_give(targets, changes):
    attack = NtkKKT(steps=12, dtype="float64", **changes)
    draw = partial(seeds.generator, "run")
    together = NtkKKT.reconstruct_batch([attack] * 3, [t.release for t in targets], [draw(i) for i in range(3)])
    for i, target in enumerate(targets):
        alone = attack.reconstruct(target.release, draw(i))
        torch.testing.assert_close(together[i].images, alone.images, rtol=0, atol=1e-6)
        assert together[i].loss == pytest.approx(alone.loss, rel=1e-8)


def test_three_outputs_are_searched_with_a_multiplier_each():
    setting = {"dataset": "photo_patches", "classes": 3, "loss": "ce", "n_per_class": 2, "hidden": (60,), "init_scale": None, "epochs": 300}
    release = obtain([Setting(lr=0.05, dtype="float64", **setting)])[0].release
    attack = NtkKKT(steps=400, dtype="float64")
    _, lam = attack.start(12, 6, release.architecture, seeds.generator("start"))
    assert lam.shape == (36,)
    far, near = (replace(attack, steps=steps).reconstruct(release, seeds.generator("run")) for steps in (0, 400))
    assert near.loss < 0.2 * far.loss


def test_members_come_back_from_ordinary_networks(targets):
    """Where the final weights alone say little: the initial ones hide the span of the images in them, but not in their change."""
    hits = {"ntk": 0, "mean": 0, "controls": 0}
    for target in targets[:2]:
        answer = NtkKKT(steps=1000).reconstruct(target.release, seeds.generator("run"))
        mean = MeanImage().reconstruct(target.release, seeds.generator("run"))
        mean = getattr(mean, "images", mean)
        for what, images, truth in (
            ("ntk", answer.images, target.secret.members),
            ("controls", answer.images, target.secret.controls),
            ("mean", mean, target.secret.members),
        ):
            hits[what] += int((ssim_matrix(truth, images).max(1).values > 0.4).sum())
    assert hits["ntk"] >= hits["mean"] + 4, hits
    assert hits["ntk"] >= hits["controls"] + 4, hits


def test_the_span_of_the_change_holds_the_images_whatever_the_start_was(targets):
    for target in targets:
        final, initial = (w["layers.0.weight"] for w in (target.release.weights, target.release.initial_weights))
        x = (target.secret.members - target.release.mean_image).flatten(1).double()
        outside = {}
        for what, sought in (("change", final - initial), ("weights", final)):
            V = row_space(sought, target.release.n_train, "images").double()
            outside[what] = float((x - x @ V @ V.mT).norm() / x.norm())
        assert outside["change"] < 0.01
        assert outside["weights"] > 0.5


@pytest.mark.parametrize("left", [1.0, 0.6, 0.01, 0.0])
@pytest.mark.parametrize("start", [1.0, 1e-3])
@pytest.mark.parametrize("shape", [(40, 90), (90, 40)])
def test_what_decay_has_left_is_read_off(left, start, shape):
    g = seeds.generator("decay", left, start)
    initial = start * torch.randn(shape, generator=g, dtype=DOUBLE)
    added = torch.randn(shape[0], 6, generator=g, dtype=DOUBLE) @ torch.randn(6, shape[1], generator=g, dtype=DOUBLE)
    assert decay_left(left * initial + added, initial, 7) == pytest.approx(left, abs=1e-6)


def test_decay_of_a_trained_network_is_read_off():
    setting = Setting(dataset="photo_patches", n_per_class=3, hidden=(60,), init_scale=None, weight_decay=0.01, lr=0.05, epochs=1000)
    release = obtain([setting])[0].release
    rho = decay_left(release.weights["layers.0.weight"], release.initial_weights["layers.0.weight"], release.n_train + 1)
    assert rho == pytest.approx((1 - 0.05 * 0.01) ** 1000, abs=1e-3)
    changed = change(release.weights, release.initial_weights, release.n_train)
    expected = release.weights["layers.1.weight"] - rho * release.initial_weights["layers.1.weight"]
    torch.testing.assert_close(changed["layers.1.weight"], expected)


def test_layers_that_are_too_small_say_nothing_of_decay():
    w = torch.ones(5, 30)
    assert decay_left(w, 2 * w, 5) == 1.0


def test_weights_that_training_left_alone_give_finite_answers_and_each_its_own():
    """Two networks of one change, none, are still two networks: nothing of their first layers is shared."""
    net = Architecture("mlp", (1, 4, 4), (12,), 1, "relu", "first", "mse")
    releases = []
    for number in range(2):
        weights = {name: w.float() for name, w in initial_weights(net, None, seeds.generator("idle", number)).items()}
        mean = torch.full((1, 4, 4), 0.5)
        known = {"weights": weights, "initial_weights": dict(weights), "mean_image": mean}
        releases.append(Release(architecture=net, forward=bound_forward(net), n_train=3, **known))
    attack = NtkKKT(steps=5)
    together = NtkKKT.reconstruct_batch([attack] * 2, releases, [seeds.generator("run") for _ in releases])
    for release, answer in zip(releases, together, strict=True):
        assert bool(answer.images.isfinite().all())
        assert bool((answer.confidence >= DIVERGED).all())
        alone = attack.reconstruct(release, seeds.generator("run"))
        torch.testing.assert_close(answer.images, alone.images, rtol=0, atol=1e-5)


def test_sharpness_rises_to_its_end(targets, monkeypatch):
    seen = []
    sharpen = Shallow.sharpen
    monkeypatch.setattr(Shallow, "sharpen", lambda self: seen.append(float(self.alpha.max())) or sharpen(self))
    NtkKKT(steps=25, alpha=2.0, alpha_end=128.0).reconstruct(targets[0].release, seeds.generator("run"))
    assert seen[0] == pytest.approx(2.0)
    assert seen[-1] == pytest.approx(128.0, rel=1e-5)
    assert len(seen) == 10
    assert all(b / a == pytest.approx(64 ** (1 / 9), rel=1e-4) for a, b in pairwise(seen))
