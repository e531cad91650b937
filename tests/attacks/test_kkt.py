"""The KKT engine: parity with the authors' code, its gradient against autograd, its stack against single runs, and that it recovers."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from attacks.haim_kkt import HaimKKT
from attacks.kkt import engine
from attacks.kkt.box import Dense, Lazy
from attacks.kkt.gradient import gram, gram_blocks, gram_pays, kkt_gradient, prior_gradient
from attacks.kkt.mask import layer_indices
from attacks.kkt.objective import kkt_loss, kkt_loss_general, prior_loss
from attacks.kkt.optimizers import OPTIMIZERS
from attacks.kkt.rounding import products, rounded
from attacks.kkt.shallow import Shallow, fits
from attacks.kkt.subspace import row_space
from attacks.kkt.surrogate import kinked_slope
from attacks.multiclass_kkt import MulticlassKKT
from attacks.regression_kkt import RegressionKKT
from bench import seeds
from bench.api import Architecture, Setting
from bench.metrics.ssim import ssim_matrix
from bench.targets.models import forward
from bench.tracks.reconstruction.targets import obtain
from tests.captures import same_every_time

REFERENCE = Path(os.environ.get("RECONBENCH_REFERENCE", Path(__file__).resolve().parents[3] / "shared" / "reference"))
ACTIVATIONS = ["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"]
KINDS = [("binary", 1), ("multiclass", 4), ("regression", 1)]


def stack(kind, k, name, hidden, all_biases, b=3, m=6, d=10):
    g = seeds.generator("kkt", kind, name, hidden, all_biases)
    draw = partial(torch.randn, generator=g, dtype=torch.float64)
    widths, weights = [d, *hidden, k], {}
    for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
        weights[f"layers.{i}.weight"] = draw(b, fan_out, fan_in)
        if i == 0 or all_biases:
            weights[f"layers.{i}.bias"] = draw(b, 1, fan_out)
    labels = torch.randint(0, max(k, 2), (b, m), generator=g)
    alpha = torch.rand(b, 1, 1, generator=g, dtype=torch.float64) * 5
    return weights, draw(b, m, d), draw(b, m), labels, alpha


@pytest.mark.parametrize(("kind", "k"), KINDS)
@pytest.mark.parametrize("path", ["closed", "general"])
def test_parity_with_the_authors_code(kind, k, path):
    file = REFERENCE / f"kkt_{kind}.npz"
    if not file.is_file():
        pytest.skip(f"no reference figures at {file}")
    ref = np.load(file)
    x = torch.tensor(ref["x"]).requires_grad_()
    lam = torch.tensor(ref["lam"]).requires_grad_()
    labels = torch.tensor(ref["y"])
    labels = labels if kind == "multiclass" else (labels > 0).long()
    weights = {name[len("param.") :]: torch.tensor(ref[name]) for name in ref.files if name.startswith("param.")}
    alpha = torch.tensor(float(ref["alpha"]), dtype=torch.float64)
    min_lambda = torch.tensor(float(ref["min_lambda"]), dtype=torch.float64)
    if path == "closed":
        rows = {name: w if w.ndim == 2 else w[None] for name, w in weights.items()}
        loss = kkt_loss(kind, "relu", rows, x.flatten(1), lam, labels, alpha)
        stacked = {name: w[None] for name, w in rows.items()}
        value, by_x, by_lam = kkt_gradient(
            kind, "relu", stacked, x.detach().flatten(1)[None], lam.detach()[None], labels[None], alpha.view(1, 1, 1)
        )
        assert value.item() == pytest.approx(float(ref["kkt_loss"]), abs=1e-9)
        np.testing.assert_allclose(by_x[0].reshape(x.shape).numpy(), ref["kkt_grad_x"], atol=1e-9)
        np.testing.assert_allclose(by_lam[0].numpy(), ref["kkt_grad_lam"], atol=1e-9)
    else:
        net = Architecture("mlp", tuple(x.shape[1:]), (16, 12), k, "relu", "first", "bce")
        if kind == "regression":
            net = replace(net, hidden=(20, 10))
        loss = kkt_loss_general(kind, "relu", partial(forward, net), weights, x, lam, labels, alpha)
    by_x, by_lam = torch.autograd.grad(loss, [x, lam])
    assert loss.item() == pytest.approx(float(ref["kkt_loss"]), abs=1e-9)
    np.testing.assert_allclose(by_x.numpy(), ref["kkt_grad_x"], atol=1e-9)
    np.testing.assert_allclose(by_lam.numpy(), ref["kkt_grad_lam"], atol=1e-9)

    prior = prior_loss(kind, x.flatten(1), lam, min_lambda)
    assert prior.item() == pytest.approx(float(ref["prior_loss"]), abs=1e-9)
    prior_x, prior_lam = prior_gradient(kind, x.detach().flatten(1)[None], lam.detach()[None], min_lambda)
    np.testing.assert_allclose(prior_x[0].reshape(x.shape).numpy(), ref["prior_grad_x"], atol=1e-9)
    np.testing.assert_allclose(0.0 if prior_lam is None else prior_lam[0].numpy(), ref["prior_grad_lam"], atol=1e-9)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_network_by_hand(kind):
    """One linear unit, one candidate: θ = (W, v), Φ(x) = v·relu(W x), computed with paper and pencil."""
    W, v = torch.tensor([[2.0, -1.0]], dtype=torch.float64), torch.tensor([[3.0]], dtype=torch.float64)
    x, lam = torch.tensor([[1.0, 0.5]], dtype=torch.float64), torch.tensor([0.25], dtype=torch.float64)
    z, soft = 1.5, 1 / (1 + np.exp(-4 * 1.5))
    if kind == "multiclass":  # two outputs v·a and −v·a: the margin of class 0 is 2 v a
        weights = {"layers.0.weight": W, "layers.1.weight": torch.cat([v, -v])}
        rest = (3 - 0.25 * z) ** 2 * 2
        first = (2 - 0.25 * 6 * soft * 1.0) ** 2 + (-1 - 0.25 * 6 * soft * 0.5) ** 2
        labels = torch.tensor([0])
    else:
        weights = {"layers.0.weight": W, "layers.1.weight": v}
        sign = -1 if kind == "binary" else 1
        rest = (3 - sign * 0.25 * z) ** 2
        first = (2 - sign * 0.25 * 3 * soft * 1.0) ** 2 + (-1 - sign * 0.25 * 3 * soft * 0.5) ** 2
        labels = torch.tensor([0])
    loss = kkt_loss(kind, "relu", weights, x, lam, labels, torch.tensor(4.0, dtype=torch.float64))
    assert loss.item() == pytest.approx(rest + first, abs=1e-12)


@pytest.mark.parametrize(("kind", "k"), KINDS)
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(7,), (7, 6, 5)])
def test_written_gradient_equals_autograd(kind, k, name, hidden):
    for all_biases in (False, True):
        weights, x, lam, labels, alpha = stack(kind, k, name, hidden, all_biases)
        x.requires_grad_()
        lam.requires_grad_()
        loss = kkt_loss(kind, name, weights, x, lam, labels, alpha)
        by_x, by_lam = torch.autograd.grad(loss.sum(), [x, lam])
        value, grad_x, grad_lam = kkt_gradient(kind, name, weights, x.detach(), lam.detach(), labels, alpha)
        # softplus turns linear above 20, as PyTorch's does; the written slope does not
        tolerance = {"rtol": 1e-8, "atol": 1e-8 * by_x.abs().max().item()}
        torch.testing.assert_close(value, loss.detach(), rtol=1e-9, atol=0)
        torch.testing.assert_close(grad_x, by_x, **tolerance)
        torch.testing.assert_close(grad_lam, by_lam, **tolerance)


@pytest.mark.parametrize(("kind", "k"), KINDS)
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("all_biases", [False, True])
def test_the_gradient_by_gram_matrices_equals_autograd(kind, k, name, all_biases, monkeypatch):
    """Few candidates beside wide layers, in the first layer and in others; scratch from another call does not show. Of eight in blocks."""
    monkeypatch.setattr("attacks.kkt.gradient.ROWS", 2)
    for m in (2, 8):
        scratch = {}
        weights, x, lam, labels, alpha = stack(kind, k, name, (12, 14, 5), all_biases, m=m, d=20)
        assert [gram_pays(m, *weights[f"layers.{i}.weight"].shape[1:]) for i in range(3)] == ([True] * 3 if m == 2 else [True, True, False])
        x.requires_grad_()
        lam.requires_grad_()
        loss = kkt_loss(kind, name, weights, x, lam, labels, alpha)
        by_x, by_lam = torch.autograd.grad(loss.sum(), [x, lam])
        arguments = kind, name, weights, x.detach(), lam.detach(), labels, alpha
        kkt_gradient(kind, name, weights, torch.rand_like(x), torch.rand_like(lam), labels, alpha, False, None, scratch)
        for more in ({"want_loss": False, "scratch": scratch}, {"scratch": scratch}, {"want_loss": False}):
            value, grad_x, grad_lam = kkt_gradient(*arguments, **more)
            torch.testing.assert_close(grad_x, by_x, rtol=1e-8, atol=1e-9 * by_x.abs().max().item())
            torch.testing.assert_close(grad_lam, by_lam, rtol=1e-8, atol=1e-9 * by_lam.abs().max().item())
            torch.testing.assert_close(value, loss.detach() if "want_loss" not in more else torch.zeros_like(value), rtol=1e-9, atol=0)
        assert {"K.0", "G.0", "R.3"} <= set(scratch)


@pytest.mark.parametrize("m", [1, 7, 125, 249, 250, 601])
@pytest.mark.parametrize("stacked", [1, 3])
def test_gram_matrices_in_blocks_are_whole(m, stacked):
    a = torch.randn(stacked, m, 9, generator=seeds.generator("gram", stacked, m), dtype=torch.float64)
    got = gram(a, torch.full((stacked, m, m), torch.nan, dtype=torch.float64))
    torch.testing.assert_close(got, a @ a.mT, rtol=1e-12, atol=1e-12)
    blocks = gram_blocks(m)
    assert blocks == (1 if m < 250 else m // 125)
    for low, high in pairwise(m * i // blocks for i in range(blocks + 1)):  # those below the diagonal are copies, the rest products
        assert torch.equal(got[:, low:high, :low], got[:, :low, low:high].mT)


def test_rounded_products_form_no_gram_matrices(monkeypatch):
    weights, x, lam, labels, alpha = stack("binary", 1, "relu", (12, 14), True, m=2, d=20)
    by_way = {}
    for rounds in (False, True):
        monkeypatch.setattr("attacks.kkt.gradient.rounded", lambda like, rounds=rounds: rounds)
        scratch = {}
        answer = kkt_gradient("binary", "relu", weights, x, lam, labels, alpha, want_loss=False, scratch=scratch)
        by_way[rounds] = answer[1].clone(), {key[0] for key in scratch}
    assert "K" in by_way[False][1] - by_way[True][1]
    torch.testing.assert_close(by_way[False][0], by_way[True][0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("kind", "k"), KINDS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_general_path_equals_closed_form(kind, k, name):
    weights, x, lam, labels, alpha = stack(kind, k, name, (7, 6), True, b=1)
    net = Architecture("mlp", (1, 2, 5), (7, 6), k, name, "all", "ce")
    flat = {key: w[0, 0] if key.endswith("bias") else w[0] for key, w in weights.items()}
    closed = kkt_loss(kind, name, weights, x, lam, labels, alpha)[0]
    general = kkt_loss_general(kind, name, partial(forward, net), flat, x[0].reshape(-1, 1, 2, 5), lam[0], labels[0], alpha[0, 0])
    assert general.item() == pytest.approx(closed.item(), rel=1e-9)


@pytest.fixture(scope="module")
def targets():
    """Three trained two-class targets of one shape, in double precision."""
    common = {"n_per_class": 4, "hidden": (60,), "epochs": 1500, "weight_decay": 0.01, "lr": 0.1, "dtype": "float64"}
    return obtain([Setting(seed=s, **common) for s in range(3)])


def runs(attack, targets, **changes):
    attacks = [replace(attack, **changes)] * len(targets)
    generators = [seeds.generator("run", i) for i in range(len(targets))]
    return type(attack).reconstruct_batch(attacks, [t.release for t in targets], generators)


@pytest.mark.parametrize(
    "attack",
    [
        HaimKKT(steps=60, dtype="float64"),
        HaimKKT(steps=60, dtype="float64", optimizer="adam", lr=0.05, lr_lambda=0.01),
        HaimKKT(steps=60, dtype="float64", subspace="none"),
        HaimKKT(steps=60, dtype="float64", subspace="rows"),
        HaimKKT(steps=60, dtype="float64", subspace=5),
        RegressionKKT(steps=60, dtype="float64", lr=0.05),
    ],
)
def test_a_stack_gives_what_single_runs_give(attack, targets):
    together = runs(attack, targets)
    for i, target in enumerate(targets):
        alone = attack.reconstruct(target.release, seeds.generator("run", i))
        torch.testing.assert_close(together[i].images, alone.images, rtol=0, atol=1e-6)  # images leave as float32
        assert together[i].loss == pytest.approx(alone.loss, rel=1e-8)


@pytest.mark.parametrize("attack", [HaimKKT(steps=40), RegressionKKT(steps=40, lr=0.05), HaimKKT(steps=40, subspace="none")])
def test_products_rounded_to_bfloat16_move_images_a_little_and_nothing_else(attack, targets, monkeypatch):
    single = runs(attack, targets)
    before = torch.get_float32_matmul_precision()
    seen = []
    bmm = torch.bmm
    monkeypatch.setattr(torch, "bmm", lambda *given, **named: seen.append(torch.get_float32_matmul_precision()) or bmm(*given, **named))
    coarse = runs(attack, targets, dtype="bfloat16")
    assert set(seen[:-10]) == {"medium"}  # the last ones are of the loss, which is measured in full
    assert seen[-1] == torch.get_float32_matmul_precision() == before
    for one, other in zip(single, coarse, strict=True):
        torch.testing.assert_close(other.images, one.images, rtol=0, atol=0.05)
        assert other.loss == pytest.approx(one.loss, rel=0.05)


@pytest.fixture(scope="module")
def deep():
    """Three trained targets of two hidden layers and three classes, in double precision."""
    common = {
        "n_per_class": 3,
        "classes": 3,
        "loss": "ce",
        "hidden": (40, 30),
        "epochs": 300,
        "lr": 0.05,
        "dtype": "float64",
        "dataset": "photo_patches",
    }
    return obtain([Setting(seed=s, **common) for s in range(3)])


@pytest.mark.parametrize("subspace", ["none", "rows", 6])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_stack_of_deep_networks_gives_what_single_runs_give(deep, subspace, optimizer):
    attack = MulticlassKKT(steps=40, dtype="float64", lr=0.05, lr_lambda=0.01, subspace=subspace, optimizer=optimizer)
    for target, answer, i in zip(deep, runs(attack, deep), range(3), strict=True):
        alone = attack.reconstruct(target.release, seeds.generator("run", i))
        torch.testing.assert_close(answer.images, alone.images, rtol=0, atol=1e-6)
        assert answer.loss == pytest.approx(alone.loss, rel=1e-8)


def test_a_stack_in_float32_scores_what_single_runs_score(targets):
    attack = HaimKKT(steps=200)
    for i, (target, answer) in enumerate(zip(targets, runs(attack, targets), strict=True)):
        alone = attack.reconstruct(target.release, seeds.generator("run", i))
        best, other = (ssim_matrix(target.secret.members, found.images).max(1).values for found in (answer, alone))
        torch.testing.assert_close(best, other, rtol=0, atol=0.01)


def test_runs_of_different_precision_are_not_stacked(targets, monkeypatch):
    stacked = []
    solve = engine._solve
    monkeypatch.setattr(engine, "_solve", lambda stack: (stacked.append([run.attack.dtype for run in stack]), solve(stack)))
    attacks = [HaimKKT(steps=40), HaimKKT(steps=40, dtype="bfloat16")]
    together = HaimKKT.reconstruct_batch(attacks, [targets[0].release] * 2, [seeds.generator("run"), seeds.generator("run")])
    for attack, answer in zip(attacks, together, strict=True):
        assert torch.equal(attack.reconstruct(targets[0].release, seeds.generator("run")).images, answer.images)
    assert stacked == [["float32"], ["bfloat16"], ["float32"], ["bfloat16"]]  # whether a CPU rounds at all is its own affair


def test_rounded_products_are_known_and_set_back_whatever_happens():
    cpu, number = torch.device("cpu"), torch.zeros(1)
    assert not rounded(number)
    with products(cpu, "bfloat16"):
        assert rounded(number)
        assert not rounded(number.double())
        with products(cpu):
            assert not rounded(number)
        assert rounded(number)
    assert not rounded(number)
    with contextlib.suppress(KeyError), products(cpu, "bfloat16"):
        raise KeyError
    assert not rounded(number)


def test_a_precision_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="dtype is one of float32, float64, bfloat16, not 'float16'"):
        HaimKKT(dtype="float16")


def test_runs_of_a_sweep_keep_their_own_hyperparameters(targets):
    release = targets[0].release
    sweep = [HaimKKT(steps=40, dtype="float64", lr=lr, sigma=s, alpha=a) for lr, s, a in [(0.5, 1e-3, 20.0), (0.05, 1e-2, 60.0)]]
    together = HaimKKT.reconstruct_batch(sweep, [release] * 2, [seeds.generator(i) for i in range(2)])
    for i, attack in enumerate(sweep):
        assert together[i].loss == pytest.approx(attack.reconstruct(release, seeds.generator(i)).loss, rel=1e-8)
    assert together[0].loss != pytest.approx(together[1].loss, rel=1e-3)


def test_a_run_that_diverges_comes_last_and_harms_no_other(targets):
    release = targets[0].release
    good, bad = HaimKKT(steps=40, dtype="float64"), HaimKKT(steps=400, lr=1e6, dtype="float64")
    alone = good.reconstruct(release, seeds.generator(0))
    lost = bad.reconstruct(release, seeds.generator(1))
    assert lost.loss is None
    assert lost.images.isfinite().all()
    assert (lost.confidence < alone.confidence.min()).all()
    stacked = HaimKKT.reconstruct_batch([good, replace(good, lr=1e6)], [release] * 2, [seeds.generator(0), seeds.generator(1)])
    torch.testing.assert_close(stacked[0].images, alone.images, rtol=0, atol=1e-6)


def test_general_path_of_a_whole_run_equals_closed(targets):
    closed = runs(HaimKKT(steps=30, dtype="float64", subspace="none"), targets[:1])[0]
    general = runs(HaimKKT(steps=30, dtype="float64", subspace="none", path="general"), targets[:1])[0]
    torch.testing.assert_close(closed.images, general.images, rtol=0, atol=1e-6)
    assert general.loss == pytest.approx(closed.loss, rel=1e-8)


def test_row_space_holds_the_training_images(targets):
    release, secret = targets[0].release, targets[0].secret
    basis = row_space(release.weights["layers.0.weight"], release.n_train, "auto")
    assert basis.shape == (625, 8)
    torch.testing.assert_close(basis.mT @ basis, torch.eye(8, dtype=basis.dtype), rtol=0, atol=1e-9)
    centred = (secret.members - secret.members.mean(0)).flatten(1).double()
    left = centred - centred @ basis @ basis.mT
    unseen = (secret.controls - secret.members.mean(0)).flatten(1).double()
    outside = unseen - unseen @ basis @ basis.mT
    assert left.norm() / centred.norm() < 0.35 < 0.5 < outside.norm() / unseen.norm()
    assert row_space(release.weights["layers.0.weight"], release.n_train, "none") is None
    assert row_space(release.initial_weights["layers.0.weight"], release.n_train, "auto") is None  # noise has no small row space
    assert row_space(release.weights["layers.0.weight"], release.n_train, 3).shape == (625, 3)


def test_candidates_among_the_rows_of_the_first_layer_stay_there(targets):
    """So that searching in all of them is exact, also where the noise of the initialisation is left in the weights."""
    release = targets[0].release
    weights = {name: w.double().unsqueeze(0) for name, w in release.initial_weights.items()}  # noise alone
    weights = {name: w.unsqueeze(1) if name.endswith("bias") else w for name, w in weights.items()}
    basis = row_space(weights["layers.0.weight"][0], release.n_train, "rows")
    assert basis.shape[1] == weights["layers.0.weight"].shape[1] < basis.shape[0]
    torch.testing.assert_close(basis.mT @ basis, torch.eye(basis.shape[1], dtype=basis.dtype), rtol=0, atol=1e-9)
    g = torch.Generator().manual_seed(0)
    x, lam = torch.randn(1, 6, basis.shape[0], generator=g, dtype=torch.float64), torch.rand(1, 6, generator=g, dtype=torch.float64)
    alpha, labels = torch.full((1, 1, 1), 20.0, dtype=torch.float64), torch.tensor([[0, 0, 0, 1, 1, 1]])
    x = x @ basis @ basis.mT
    _, grad, _ = kkt_gradient("binary", "relu", weights, x, lam, labels, alpha)
    assert grad.norm() > 0
    assert (grad - grad @ basis @ basis.mT).norm() < 1e-10 * grad.norm()
    assert row_space(torch.ones(7, 5), 3, "rows") is None  # more rows than pixels: nothing to gain


def test_recovers_training_images_from_a_converged_target():
    """The point of it all: the nearest candidates to the members are far nearer than those to the controls."""
    from bench.metrics.ssim import ssim_matrix

    target = obtain([Setting(n_per_class=3, hidden=(200,), epochs=6000, weight_decay=0.003, lr=0.05, dataset="photo_tiles")])[0]
    images = HaimKKT(steps=1500).reconstruct(target.release, seeds.generator("recover")).images
    members = ssim_matrix(images, target.secret.members).amax(0)
    controls = ssim_matrix(images, target.secret.controls).amax(0)
    assert members.mean() > controls.mean() + 0.2
    assert (members > 0.4).sum() > (controls > 0.4).sum()


def test_multiclass_runs_on_its_own_targets():
    target = obtain([Setting(dataset="photo_tiles", classes=3, n_per_class=2, loss="ce", hidden=(30,), epochs=200, weight_decay=0.01)])[0]
    answer = MulticlassKKT(steps=20).reconstruct(target.release, seeds.generator("m"))
    assert answer.images.shape == (12, 3, 32, 32)
    assert 0 <= answer.images.min() <= answer.images.max() <= 1


@pytest.mark.parametrize(
    ("attack", "change", "word"),
    [
        (HaimKKT(), {"outputs": 3}, "multiclass_kkt"),
        (HaimKKT(), {"loss": "mse"}, "regression_kkt"),
        (HaimKKT(), {"activation": "tanh"}, "homogeneous"),
        (HaimKKT(), {"bias": "all"}, "homogeneous"),
        (MulticlassKKT(), {}, "haim_kkt"),
        (RegressionKKT(), {"outputs": 3}, "multiclass_kkt"),
    ],
)
def test_unsupported_targets_are_named(attack, change, word):
    net = replace(Architecture("mlp", (1, 4, 4), (5,), 1, "relu", "first", "bce"), **change)
    assert word in attack.unsupported(net)
    assert HaimKKT().unsupported(Architecture("mlp", (1, 4, 4), (5,), 1, "leaky_relu", "none", "bce")) == ""


def test_optimizers_equal_pytorchs():
    g = seeds.generator("optimizers")
    start = torch.randn(2, 3, 4, generator=g, dtype=torch.float64)
    curvature = torch.rand(2, 3, 4, generator=g, dtype=torch.float64)
    lr, lr_lambda, momentum = (torch.tensor([[a], [b]], dtype=torch.float64) for a, b in [(0.1, 0.3), (0.02, 0.01), (0.9, 0.8)])
    for name, steps in (("sgd", 20), ("adam", 20)):
        x, lam = start.clone(), start[..., 0].clone()
        ours = OPTIMIZERS[name](x, lam, lr, lr_lambda, momentum, steps)
        for _ in range(steps):
            ours.step(curvature * x, curvature[..., 0] * lam)
        for i in range(2):
            for mine, begin, rate, bend in ((x, start, lr, curvature), (lam, start[..., 0], lr_lambda, curvature[..., 0])):
                p = begin[i].clone().requires_grad_()
                rates = {"lr": rate[i].item()}
                if name == "sgd":
                    theirs = torch.optim.SGD([p], momentum=momentum[i].item(), **rates)
                else:
                    theirs = torch.optim.Adam([p], betas=(momentum[i].item(), 0.999), **rates)
                for t in range(steps):
                    if name == "adam":
                        theirs.param_groups[0]["lr"] = rate[i].item() * 0.5 * (1 + np.cos(np.pi * (t + 1) / steps))
                    p.grad = (bend[i] * p).detach()
                    theirs.step()
                torch.testing.assert_close(mine[i], p.detach(), rtol=1e-9, atol=1e-12)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="sgd, adam"):
        HaimKKT(optimizer="adma")


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("subspace", ["none", "rows", 5])
@pytest.mark.parametrize("which", ["one hidden layer", "deep", "masked"])
def test_a_step_that_is_captured_reads_nothing_back(targets, deep, monkeypatch, optimizer, subspace, which):
    """Whole attacks as a GPU would run them, but on this CPU; the refusals are tried on what a CPU does instead."""

    monkeypatch.setattr("attacks.kkt.engine.captured", lambda device: True)
    monkeypatch.setattr("attacks.kkt.engine.repeat", lambda step, times, device, alone: same_every_time(step, times))
    cls, victims = {"one hidden layer": (HaimKKT, targets), "deep": (MulticlassKKT, deep), "masked": (Deaf, targets)}[which]
    options = {"columns": False} if which == "masked" else {}
    attack = cls(steps=6, optimizer=optimizer, subspace=subspace, **options)
    assert all(answer.images.isfinite().all() for answer in runs(attack, victims))
    if which == "one hidden layer" and subspace == 5:
        monkeypatch.setattr("attacks.kkt.engine.captured", lambda device: False)
        with pytest.raises(AssertionError, match=r"in a step that is captured|a mask as index"):
            runs(replace(attack, lr=2.0, sigma=0.5), victims)


@pytest.fixture
def boxed():
    """Three runs, the first two of one basis; candidates that drift out of the box and back in, and a dense answer to each position."""
    g = seeds.generator("prior")
    one, other = (torch.linalg.qr(torch.randn(9, 4, generator=g, dtype=torch.float64))[0] for _ in range(2))
    centre, width = (torch.randn(3, 5, 4, generator=g, dtype=torch.float64) for _ in range(2))
    path = [centre * 0.3 + 1.5 * np.sin(t / 40) * width for t in range(250)]

    def expected(bases, c):
        c = c.clone().requires_grad_()
        return torch.autograd.grad(prior_loss("binary", c @ torch.stack(bases).mT, torch.ones(3, 5), torch.tensor(0.5)).sum(), c)[0]

    return one, other, path, expected


@pytest.mark.parametrize("shared", ["all", "two", "none"])
@pytest.mark.parametrize("box", [Dense, Lazy])
def test_the_priors_gradient_in_a_row_space_is_the_pixels_projected(boxed, box, shared):
    one, other, path, expected = boxed
    bases = {"all": [one, one, one], "two": [one, one, other], "none": [one, other, one.clone()]}[shared]
    prior = box(bases) if box is Dense else box(bases, path[0])
    looked, outside = [], 0.0
    for c in path:
        right, grad = expected(bases, c), torch.ones_like(c)
        looked.append(prior.add_to(grad, c))
        outside += right.abs().sum().item()
        torch.testing.assert_close(grad, 1 + right, rtol=1e-12, atol=1e-12)
    assert outside > 0
    if box is Lazy:
        assert looked[0] == 0  # near 0 no look is needed
        assert 0 < sum(looked) < 0.2 * 15 * len(path)
        assert prior.near.shape == (3, int(prior.listed.sum(1).max()), 4)


def test_pixels_of_one_run_alone_are_listed_near_the_edge():
    """Runs of one basis keep lists of their own: a wild run costs the others nothing but zeros."""
    basis = torch.eye(6, 3, dtype=torch.float64)
    prior, c = Lazy([basis, basis], torch.zeros(2, 2, 3, dtype=torch.float64)), torch.zeros(2, 2, 3, dtype=torch.float64)
    c[0, 1] = torch.tensor([-2.0, 1.5, 0.0])
    c[1, 0] = torch.tensor([0.0, 0.0, 0.875])
    c[1, 1] = torch.tensor([0.0, 0.5, 0.0])
    grad = torch.zeros_like(c)
    assert prior.add_to(grad, c) == 1  # the others cannot have come so far
    c[1] *= 1.2
    grad.zero_()
    assert prior.add_to(grad, c) == 1
    assert [listed.nonzero().flatten().tolist() for listed in prior.listed] == [[0, 1], [2]]
    expected = torch.zeros_like(c)
    expected[0, 1], expected[1, 0, 2] = torch.tensor([-2.0, 1.0, 0.0]), 2 * (0.875 * 1.2 - 1)
    torch.testing.assert_close(grad, expected, rtol=1e-12, atol=1e-12)
    assert prior.add_to(grad, c) == 0


def test_a_candidate_that_stays_outside_the_box_is_not_looked_at_again():
    basis = torch.eye(6, 3, dtype=torch.float64)
    prior, c = Lazy([basis], torch.zeros(1, 1, 3, dtype=torch.float64)), torch.zeros(1, 1, 3, dtype=torch.float64)
    c[0, 0, 0] = 1.5
    looked = []
    for _ in range(20):
        c[0, 0, 0] += 0.04
        grad = torch.zeros_like(c)
        looked.append(prior.add_to(grad, c))
        assert grad[0, 0, 0].item() == pytest.approx(2 * (c[0, 0, 0].item() - 1), abs=1e-12)
    assert looked == [1] + [0] * 19


@pytest.mark.parametrize(
    ("subspace", "dimensions"), [("none", 625), ("rows", 60), (8, 8), (60, 625), (1000, 625), ("auto", 625), ("images", 8)]
)
def test_memory_is_planned_for_the_space_that_is_searched(targets, subspace, dimensions):
    attack, release = HaimKKT(subspace=subspace), targets[0].release
    assert attack._dimensions(release.weights["layers.0.weight"], release.n_train) == dimensions
    basis = row_space(release.weights["layers.0.weight"], release.n_train, subspace)
    assert dimensions >= (625 if basis is None else basis.shape[1])
    assert attack.memory(release) <= HaimKKT(subspace="none").memory(release)


def test_a_lazy_look_is_never_too_late():
    """A pixel moved straight over the edge, in steps of any size, is seen in the very step in which it crosses."""
    basis = torch.eye(6, 3, dtype=torch.float64)
    for step in (1e-3, 0.01, 0.3, 1.5):
        prior, c = Lazy([basis], torch.zeros(1, 1, 3, dtype=torch.float64)), torch.zeros(1, 1, 3, dtype=torch.float64)
        while c[0, 0, 1] < 2:
            c[0, 0, 1] += step
            grad = torch.zeros_like(c)
            prior.add_to(grad, c)
            assert grad[0, 0, 1].item() == pytest.approx(2 * max(0.0, c[0, 0, 1].item() - 1), abs=1e-12)


def test_candidates_that_are_lost_are_not_looked_at():
    """Their own gradient is lost with them; nobody else's is, and nothing is listed for them."""
    prior = Lazy([torch.eye(6, 3)], torch.zeros(1, 3, 3))
    c = torch.tensor([[[torch.nan, 0.0, 0.0], [3.0, 0.0, 0.0], [torch.inf, 0.0, 0.0]]])
    grad = torch.zeros(1, 3, 3)
    assert prior.add_to(grad, c) == 2  # infinity has moved, but only once
    assert prior.add_to(torch.zeros_like(grad), c) == 0
    torch.testing.assert_close(grad[0, 1], torch.tensor([4.0, 0.0, 0.0]))
    assert prior.listed.nonzero().tolist() == [[0, 0]]


@pytest.mark.parametrize("shared", [True, False])
def test_runs_that_look_lazily_equal_runs_that_always_look(targets, monkeypatch, shared):
    """Whole runs with a step size at which candidates meet the edge of the box; on a device with captured graphs nothing is lazy."""
    victims = [targets[0]] * 2 if shared else targets[:2]
    attack = HaimKKT(dtype="float64", lr=2.0, sigma=0.5, steps=150)
    counts = []
    look = Lazy.add_to
    monkeypatch.setattr(Lazy, "add_to", lambda self, grad, c: counts.append(look(self, grad, c)))
    lazy = runs(attack, victims)
    assert 0 < sum(counts) < 0.9 * 16 * 2 * 150
    monkeypatch.setattr("attacks.kkt.engine.captured", lambda device: True)
    dense = runs(attack, victims)
    assert len(counts) == 150
    for a, b in zip(lazy, dense, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-9)
        torch.testing.assert_close(a.images, b.images, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["binary", "regression"])
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("biases", ["none", "first", "all"])
@pytest.mark.parametrize("masked", [False, True])
def test_one_hidden_layer_in_few_passes_equals_the_general_gradient(kind, name, biases, masked):
    weights, x, lam, labels, alpha = stack(kind, 1, name, (7,), biases == "all")
    if biases == "none":
        del weights["layers.0.bias"]
    mask = masks(weights) if masked else None
    assert fits(kind, weights, x.shape[1])
    few = Shallow(kind, name, weights, labels, alpha, x, mask)
    few(torch.rand_like(x), torch.rand_like(lam))  # what a step leaves behind must not show in the next
    expected = kkt_gradient(kind, name, weights, x, lam, labels, alpha, mask=mask)
    for ours, theirs in zip(few(x, lam, True), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-11)
    assert not few(x, lam)[0].any()


def test_which_networks_take_the_few_passes():
    one, two, three = (dict.fromkeys((f"layers.{i}.weight" for i in range(n)), torch.zeros(2, 1, 3)) for n in (1, 2, 3))
    assert fits("binary", two, 2)
    assert fits("regression", two, 2)
    assert not any((fits("multiclass", two, 2), fits("binary", one, 2), fits("binary", three, 2)))
    assert not fits("binary", {**two, "layers.1.weight": torch.zeros(2, 4, 3)}, 2)
    assert not fits("binary", two, 1)  # three inputs beside one candidate: the passes over the weights would be the longer ones


def test_a_saturated_slope_is_the_slope():
    z, alpha = torch.linspace(-3, 3, 601, dtype=torch.float64), torch.tensor(500.0, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(kinked_slope(z, alpha, 0.0), torch.sigmoid(500 * z), rtol=0, atol=1e-17)
        torch.testing.assert_close(kinked_slope(z, alpha, 0.01), 0.01 + 0.99 * torch.sigmoid(500 * z), rtol=1e-15, atol=0)


def masks(weights):
    """Weights for rows and columns of every layer, some of them 0; the first layer's columns only where pixels are pixels."""
    g = seeds.generator("masks")
    drawn = {}
    for i in range(sum(1 for name in weights if name.endswith("weight"))):
        *lead, rows, columns = weights[f"layers.{i}.weight"].shape
        pair = [torch.rand(*lead, size, generator=g, dtype=torch.float64).mul(2) for size in (rows, columns)]
        for values in pair:
            values[..., 0] = 0.0 if values.shape[-1] > 1 else 0.7
        drawn[i] = (pair[0], pair[1])
    return drawn


def naive(kind, name, weights, x, lam, labels, alpha, mask):
    """The weighted objective of one network, parameter by parameter, by double backward."""
    net = Architecture("mlp", (1, 1, x.shape[-1]), (1,) * (len(mask) - 1), labels.max().item() + 1, name, "all", "ce")
    leaves = {key: w.clone().requires_grad_() for key, w in weights.items()}
    out = forward(net, leaves, x.reshape(-1, 1, 1, x.shape[-1]), lambda z: _naive_relu(z, alpha))
    g = out[:, 0] if kind == "regression" else out[:, 0] * (2 * labels - 1)
    if kind == "multiclass":
        own = out.gather(1, labels[:, None])[:, 0]
        g = own - out.scatter(1, labels[:, None], -torch.inf).amax(1)
    grads = torch.autograd.grad((lam * g).sum() / len(x), list(leaves.values()), create_graph=True)
    total = 0.0
    for (key, w), grad in zip(weights.items(), grads, strict=True):
        rows, columns = mask[int(key.split(".")[1])]
        for unit in range(len(w)):
            row = rows[unit] * (w[unit] - grad[unit])
            total = total + ((row * columns) if w.dim() == 2 else row).square().sum()
    return total


def _naive_relu(z, alpha):
    """Value relu(z), slope σ(αz): the antiderivative of the slope, shifted to the value where nothing flows."""
    smooth = torch.logaddexp(alpha * z, torch.zeros_like(z)) / alpha
    return smooth + (torch.relu(z) - smooth).detach()


@pytest.mark.parametrize(("kind", "k"), KINDS)
@pytest.mark.parametrize("hidden", [(7,), (7, 6)])
def test_a_weighted_residual_equals_a_naive_one(kind, k, hidden):
    weights, x, lam, labels, alpha = stack(kind, k, "relu", hidden, True)
    mask = masks(weights)
    x.requires_grad_()
    lam.requires_grad_()
    closed = kkt_loss(kind, "relu", weights, x, lam, labels, alpha, mask)
    value, grad_x, grad_lam = kkt_gradient(kind, "relu", weights, x.detach(), lam.detach(), labels, alpha, mask=mask)
    torch.testing.assert_close(value, closed.detach(), rtol=1e-12, atol=0)
    for i in range(len(x)):
        flat = {key: w[i, 0] if key.endswith("bias") else w[i] for key, w in weights.items()}
        own = {layer: (rows[i], columns[i]) for layer, (rows, columns) in mask.items()}
        expected = naive(kind, "relu", flat, x[i], lam[i], labels[i], alpha[i, 0], own)
        by_x, by_lam = torch.autograd.grad(expected, [x, lam], retain_graph=True)
        assert closed[i].item() == pytest.approx(expected.item(), rel=1e-12)
        torch.testing.assert_close(grad_x[i], by_x[i], rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(grad_lam[i], by_lam[i], rtol=1e-9, atol=1e-11)
        net = Architecture("mlp", (1, 1, 10), hidden, k, "relu", "all", "ce")
        pixels = x[i].reshape(-1, 1, 1, 10)
        general = kkt_loss_general(kind, "relu", partial(forward, net), flat, pixels, lam[i], labels[i], alpha[i, 0], own)
        assert general.item() == pytest.approx(expected.item(), rel=1e-12)
        torch.testing.assert_close(torch.autograd.grad(general, x)[0][i], by_x[i], rtol=1e-9, atol=1e-11)


def test_a_mask_of_ones_is_no_mask():
    weights, x, lam, labels, alpha = stack("binary", 1, "relu", (7, 6), True)
    ones = {i: (torch.ones_like(rows), None if i == 1 else torch.ones_like(columns)) for i, (rows, columns) in masks(weights).items()}
    for plain, weighted in zip(
        kkt_gradient("binary", "relu", weights, x, lam, labels, alpha),
        kkt_gradient("binary", "relu", weights, x, lam, labels, alpha, mask=ones),
        strict=True,
    ):
        torch.testing.assert_close(plain, weighted, rtol=1e-10, atol=1e-11)


@dataclass(frozen=True)
class Deaf(HaimKKT):
    """Listens to all units but the first ``units``."""

    name: ClassVar[str] = "deaf"
    units: int = 20
    columns: bool = True

    def informative(self, release, generator):
        keep = (torch.arange(release.architecture.hidden[0]) >= self.units).double()
        return {0: (keep, None), 1: (None, keep if self.columns else None)}


@pytest.mark.parametrize("path", ["auto", "general"])
def test_an_attack_that_leaves_units_out_does_not_depend_on_them(targets, path):
    """Whole runs: the smaller network without the units gives the same candidates; a stack gives what single runs give."""
    attack = Deaf(steps=30, dtype="float64", subspace="none", path=path)
    deaf = runs(attack, targets[:2])
    for i, answer in enumerate(deaf):
        alone = attack.reconstruct(targets[i].release, seeds.generator("run", i))
        torch.testing.assert_close(answer.images, alone.images, rtol=0, atol=1e-6)
        assert answer.loss == pytest.approx(alone.loss, rel=1e-8)
        whole = targets[i].release
        part = {key: w[:, 20:] if key.startswith("layers.1") else w[20:] for key, w in whole.weights.items()}
        net = replace(whole.architecture, hidden=(40,))
        small = HaimKKT(steps=30, dtype="float64", subspace="none", path=path)
        cut = small.reconstruct(replace(whole, architecture=net, weights=part, forward=partial(forward, net)), seeds.generator("run", i))
        torch.testing.assert_close(answer.images, cut.images, rtol=0, atol=1e-6)
        assert answer.loss == pytest.approx(cut.loss, rel=1e-8)
        torch.testing.assert_close(answer.confidence, cut.confidence)


def test_row_weights_commute_with_the_row_space(targets):
    """In a row space of nearly all energy the weighted residual loses only what lies outside; without any weights left it is 0."""
    release = targets[0].release
    basis = row_space(release.weights["layers.0.weight"], release.n_train, "auto").double()
    inside = dict(release.weights)
    inside["layers.0.weight"] = inside["layers.0.weight"] @ basis @ basis.mT
    inside = replace(release, weights=inside)
    attack = Deaf(steps=1, dtype="float64")
    weights = {key: w[None, None] if key.endswith("bias") else w[None] for key, w in inside.weights.items()}
    c = torch.randn(1, 16, 8, generator=seeds.generator("rows"), dtype=torch.float64)
    lam, labels, alpha = torch.rand(1, 16, dtype=torch.float64), (torch.arange(16) // 8)[None], torch.full((1, 1, 1), 20.0).double()
    mask = {k: tuple(None if w is None else w[None] for w in pair) for k, pair in attack.informative(inside, None).items()}
    reduced = {**weights, "layers.0.weight": weights["layers.0.weight"] @ basis}
    pixels = kkt_gradient("binary", "relu", weights, c @ basis.mT, lam, labels, alpha, mask=mask)
    rows = kkt_gradient("binary", "relu", reduced, c, lam, labels, alpha, mask=mask)
    torch.testing.assert_close(rows[0], pixels[0], rtol=1e-10, atol=0)
    torch.testing.assert_close(rows[1], pixels[1] @ basis, rtol=1e-9, atol=1e-12)


def test_masked_runs_are_stacked_apart_from_others(targets):
    release = targets[0].release
    sweep = [Deaf(steps=10, dtype="float64"), Deaf(steps=10, dtype="float64", columns=False), Deaf(steps=10, dtype="float64", units=30)]
    together = Deaf.reconstruct_batch(sweep, [release] * 3, [seeds.generator(i) for i in range(3)])
    for i, attack in enumerate(sweep):
        assert together[i].loss == pytest.approx(attack.reconstruct(release, seeds.generator(i)).loss, rel=1e-8)
    assert len({round(answer.loss, 9) for answer in together}) == 3


@pytest.mark.parametrize(
    ("mask", "word"),
    [
        ({2: (None, None)}, "layers 0 to 1"),
        ({0: (torch.ones(59), None)}, "60 rows"),
        ({1: (None, torch.full((60,), -1.0))}, "negative"),
        ({1: (torch.tensor([torch.nan]), None)}, "finite"),
        ({0: (None, torch.ones(625))}, "subspace=none"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(targets, monkeypatch, mask, word):
    monkeypatch.setattr(Deaf, "informative", lambda self, release, generator: mask)
    with pytest.raises(ValueError, match=word):
        Deaf(steps=1).reconstruct(targets[0].release, seeds.generator(0))


def test_layers_are_counted_by_name_or_in_order():
    named = dict.fromkeys(("layers.10.weight", "layers.2.bias", "layers.2.weight"), torch.zeros(1))
    assert layer_indices(named) == {"layers.10": 10, "layers.2": 2}
    assert layer_indices(dict.fromkeys(("conv.weight", "conv.bias", "head.weight"), torch.zeros(1))) == {"conv": 0, "head": 1}


@pytest.mark.parametrize("wrong", [{"path": "genral"}, {"subspace": "row"}, {"candidates_per_image": 0}, {"steps": -5}])
def test_hyperparameters_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HaimKKT(**wrong)


def test_a_batch_takes_each_runs_own_rank():
    """Of two releases with one first layer and another number of training images."""
    few, many = network_of(6), network_of(8)
    alone = HaimKKT(steps=3).reconstruct(many, seeds.generator("x"))
    together = HaimKKT.reconstruct_batch([HaimKKT(steps=3)] * 2, [few, many], [seeds.generator("y"), seeds.generator("x")])
    assert torch.equal(together[1].images, alone.images)


def network_of(n_train):
    from tests.perf.problem import release

    return replace(release((20,), 6, rank=6, shape=(1, 6, 6)), n_train=n_train)
