"""The KKT residual: equal to explicit per-image gradients, zero where the network is a KKT point by construction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from bench import seeds
from bench.api import Architecture
from bench.targets import residual as residual_module
from bench.targets.models import forward, initial_weights
from bench.targets.nonnegative import nonnegative
from bench.targets.residual import kkt_residual


def network(loss, outputs, activation="relu", bias="first"):
    net = Architecture("mlp", (1, 3, 4), (9, 8), outputs, activation, bias, loss)
    return net, initial_weights(net, None, seeds.generator("net", loss, outputs))


def gradients(net, weights, x, labels):
    """∇θ gᵢ by autograd, one row a constraint."""
    rows = []
    leaves = {k: w.clone().requires_grad_() for k, w in weights.items()}
    for image, label in zip(x, labels.tolist(), strict=True):
        out = forward(net, leaves, image[None])[0]
        if net.loss in ("mse", "huber"):
            gs = list(out)
        elif net.outputs == 1:
            gs = [out[0] * (2 * label - 1)]
        else:
            gs = [out[label] - max(out[j] for j in range(net.outputs) if j != label)]
        rows += [torch.cat([g.flatten() for g in torch.autograd.grad(g, list(leaves.values()), retain_graph=True)]) for g in gs]
    return torch.stack(rows).numpy()


@pytest.mark.parametrize(
    ("loss", "outputs", "activation", "bias"),
    [("bce", 1, "relu", "first"), ("ce", 4, "leaky_relu", "first"), ("mse", 1, "tanh", "all"), ("huber", 3, "gelu", "none")],
)
def test_equals_explicit_gradients(loss, outputs, activation, bias):
    net, weights = network(loss, outputs, activation, bias)
    x = torch.randn(7, 1, 3, 4, generator=seeds.generator("x"), dtype=torch.float64)
    labels = torch.arange(7) % max(outputs, 2)
    J = gradients(net, weights, x, labels)
    theta = torch.cat([w.flatten() for w in weights.values()]).numpy()
    signed = loss in ("mse", "huber")
    expected = np.linalg.lstsq(J.T, theta, rcond=None)[0] if signed else nnls(J.T, theta)[0]
    residual, lam = kkt_residual(net, weights, x, labels)
    assert residual == pytest.approx(np.linalg.norm(theta - J.T @ expected) / np.linalg.norm(theta), abs=1e-7)
    assert np.linalg.norm(theta - J.T @ lam) / np.linalg.norm(theta) == pytest.approx(residual, abs=1e-6)
    assert signed or (lam >= 0).all()


@pytest.mark.parametrize("pooling", ["none", "stride", "max", "avg"])
@pytest.mark.parametrize(("loss", "outputs", "bias"), [("bce", 1, "first"), ("ce", 4, "none"), ("mse", 1, "all"), ("huber", 3, "first")])
@pytest.mark.parametrize("at_once", [2**28, 2**14])
def test_of_convolutions_equals_explicit_gradients(pooling, loss, outputs, bias, at_once, monkeypatch):
    """All at once, and in so little memory that the constraints go two by two."""
    monkeypatch.setattr(residual_module, "GRADIENTS_AT_ONCE", at_once)
    net = Architecture("cnn", (2, 7, 6), (9, 8), outputs, "relu", bias, loss, (3, 5), 3, pooling)
    weights = initial_weights(net, None, seeds.generator("net", loss, outputs))
    x = torch.randn(7, 2, 7, 6, generator=seeds.generator("x"), dtype=torch.float64)
    labels = torch.arange(7) % max(outputs, 2)
    J = gradients(net, weights, x, labels)
    theta = torch.cat([w.flatten() for w in weights.values()]).numpy()
    signed = loss in ("mse", "huber")
    expected = np.linalg.lstsq(J.T, theta, rcond=None)[0] if signed else nnls(J.T, theta)[0]
    residual, lam = kkt_residual(net, weights, x, labels)
    assert residual == pytest.approx(np.linalg.norm(theta - J.T @ expected) / np.linalg.norm(theta), abs=1e-7)
    assert np.linalg.norm(theta - J.T @ lam) / np.linalg.norm(theta) == pytest.approx(residual, abs=1e-6)


def test_a_convolution_over_one_pixel_is_a_fully_connected_layer():
    mlp = Architecture("mlp", (5, 1, 1), (6, 4), 1, "leaky_relu", "first", "bce")
    cnn = Architecture("cnn", (5, 1, 1), (4,), 1, "leaky_relu", "first", "bce", (6,), 1, "none")
    weights = initial_weights(mlp, None, seeds.generator("pixel"))
    same = {**weights, "layers.0.weight": weights["layers.0.weight"].reshape(6, 5, 1, 1)}
    x = torch.randn(8, 5, 1, 1, generator=seeds.generator("x"), dtype=torch.float64)
    labels = torch.arange(8) % 2
    torch.testing.assert_close(forward(cnn, same, x), forward(mlp, weights, x))
    (one, lam), (other, mu) = kkt_residual(mlp, weights, x, labels), kkt_residual(cnn, same, x, labels)
    assert one == pytest.approx(other, abs=1e-12)
    np.testing.assert_allclose(lam, mu, atol=1e-9)


def test_zero_at_a_kkt_point():
    """A one-neuron linear-region network whose weights are built as Σ λᵢ yᵢ ∇Φ(xᵢ)."""
    x = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    labels, lam = torch.tensor([1, 1]), torch.tensor([0.5, 0.25], dtype=torch.float64)
    s = lam @ x  # W = v s and v = W·s need v² |s|² = v², so scale x to make |s| = 1
    x = x / s.norm()
    s = lam @ x
    net = Architecture("mlp", (1, 1, 2), (1,), 1, "relu", "none", "bce")
    v = 0.7
    weights = {"layers.0.weight": v * s[None], "layers.1.weight": torch.tensor([[v]], dtype=torch.float64)}
    residual, found = kkt_residual(net, weights, x.reshape(2, 1, 1, 2), labels)
    assert residual < 1e-7
    np.testing.assert_allclose(found @ x.numpy(), s.numpy(), atol=1e-6)


@pytest.mark.parametrize(("n", "d"), [(1, 5), (40, 300), (120, 130)])
def test_many_multipliers_are_those_of_the_least_squares(n, d):
    g = seeds.generator("pivoting", n)
    J = torch.randn(n, d, generator=g, dtype=torch.float64) + 0.3  # correlated, as gradients are
    theta = J.T @ (torch.rand(n, generator=g, dtype=torch.float64) - 0.4).clamp(min=0) + torch.randn(d, generator=g, dtype=torch.float64)
    lam, gap = nonnegative(J @ J.T, J @ theta)
    expected = nnls(J.T.numpy(), theta.numpy())[0]
    assert 0 <= gap <= 1e-12 * float(theta @ theta)
    np.testing.assert_allclose(lam.numpy(), expected, rtol=1e-7, atol=1e-9)
    assert n == 1 or 0 < np.count_nonzero(expected) < n


def test_multipliers_that_are_not_the_only_ones_are_left_to_scipy():
    g = seeds.generator("pivoting")
    J = torch.randn(30, 10, generator=g, dtype=torch.float64)
    assert nonnegative(J @ J.T, J @ torch.randn(10, generator=g, dtype=torch.float64))[1] == float("inf")


@pytest.mark.parametrize("copies", [1, 3])
def test_the_residual_of_many_constraints_is_that_of_few(copies, monkeypatch):
    """Also where images come more than once, and their multipliers can be shared out as one likes."""
    net, weights = network("bce", 1)
    x = torch.randn(9, 1, 3, 4, generator=seeds.generator("x"), dtype=torch.float64).repeat(copies, 1, 1, 1)
    labels = torch.arange(9).repeat(copies) % 2
    expected, _ = kkt_residual(net, weights, x, labels)
    asked = []
    monkeypatch.setattr(residual_module, "LARGE", 5)
    monkeypatch.setattr(residual_module, "nnls", lambda *given, **named: asked.append(1) or nnls(*given, **named))
    found, lam = kkt_residual(net, weights, x, labels)
    assert found == pytest.approx(expected, abs=1e-8)
    assert (lam >= 0).all()
    assert copies > 1 or not asked
