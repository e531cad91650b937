"""ε is Opacus's own, and no attack, the best one included, is right more often than the bound says."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from scipy.special import ndtr, ndtri

from bench import seeds
from bench.api import Private, Setting, Training
from bench.errors import BenchError
from bench.targets import privacy
from bench.targets.losses import loss_targets, loss_value
from bench.targets.models import architecture, forward, initial_weights
from bench.targets.privacy import blow_up, epsilon
from bench.targets.train_defended import Defended
from bench.tracks.reconstruction import work
from bench.tracks.reconstruction.guarantees import guarantees


def mechanism(noise, rate, steps, draws, name):
    """Losses of outcomes of the sampled Gaussian mechanism without and with an image: as the paper has it, by nothing of the code."""
    rng = seeds.numpy_generator(name, noise, rate, steps)

    def loss(x):
        return np.logaddexp(math.log1p(-rate) if rate < 1 else -np.inf, math.log(rate) + (2 * x - 1) / (2 * noise**2)).sum(1)

    without = noise * rng.standard_normal((draws, steps))
    beside = noise * rng.standard_normal((draws, steps)) + (rng.random((draws, steps)) < rate)
    return loss(without), loss(beside)


CASES = [(1.0, 0.1, 50), (1.0, 0.5, 10), (0.3, 0.05, 20), (3.0, 0.2, 80), (4.0, 1.0, 30), (2.0, 0.9, 5)]


@pytest.mark.parametrize(("noise", "rate", "steps"), CASES)
@pytest.mark.parametrize("prior", [0.01, 0.05, 0.3])
def test_the_bound_is_the_power_of_the_best_test(noise, rate, steps, prior):
    draws = 20_000
    without, beside = mechanism(noise, rate, steps, draws, "power")
    power = float((beside > np.quantile(without, 1 - prior)).mean())  # Neyman and Pearson: no test has more
    bound = blow_up(noise, rate, steps, prior)
    slack = 4 * math.sqrt(max(power * (1 - power), 1 / draws) / draws)
    slope = blow_up(noise, rate, steps, prior + 4 * math.sqrt(prior * (1 - prior) / draws)) - bound  # the threshold is estimated, too
    assert bound == pytest.approx(power, abs=slack + slope + 2e-3)


@pytest.mark.parametrize("prior", [0.01, 0.05, 0.3])
def test_with_hardly_any_noise_an_image_is_found_out_once_it_is_sampled(prior):
    assert blow_up(0.05, 0.5, 3, prior) == pytest.approx(1 - 0.5**3 * (1 - prior), abs=3e-3)


@pytest.mark.parametrize("rate", [1.0, 1 - 1e-9])
def test_full_batches_are_two_normal_distributions_apart(rate):
    assert blow_up(20.0, rate, 400, 0.05) == pytest.approx(float(ndtr(ndtri(0.05) + 1.0)), abs=1e-3)


def test_the_ends_of_the_bound():
    assert blow_up(0.0, 1.0, 5, 0.1) == blow_up(0.01, 0.5, 5000, 0.1) == blow_up(1.0, 1.0, 1, 1.0) == 1
    assert blow_up(1.0, 1.0, 1, 0.0) == 0
    assert blow_up(1e6, 1.0, 1, 0.1) == pytest.approx(0.1, abs=1e-5)
    assert blow_up(1e3, 0.1, 2, 0.1) == pytest.approx(0.1, abs=1e-3)
    falls = [blow_up(s, 0.2, 50, 0.1) for s in (0.5, 1.0, 2.0, 4.0, 8.0)]
    assert falls == sorted(falls, reverse=True)


@pytest.mark.parametrize(("noise", "rate", "steps"), [(20.0, 1.0, 200), (2.0, 0.2, 100)])
def test_epsilon_is_opacus_own_of_the_same_run(noise, rate, steps):
    """Its engine is told of the steps of a loop of its own, on as many images."""
    opacus = pytest.importorskip("opacus")
    n = 20
    engine = opacus.PrivacyEngine(accountant="prv")
    model = torch.nn.Linear(3, 1)
    data = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.rand(n, 3), torch.rand(n, 1)), batch_size=n if rate == 1 else round(n * rate)
    )
    model, optimizer, data = engine.make_private(
        module=model, optimizer=torch.optim.SGD(model.parameters(), 0.1), data_loader=data, noise_multiplier=noise, max_grad_norm=1.0
    )
    while len(engine.accountant.history) == 0 or engine.accountant.history[0][2] < steps:
        for x, y in data:
            optimizer.zero_grad()
            (model(x) - y).square().mean().backward()
            optimizer.step()
    assert engine.accountant.history[0] == (noise, rate, steps)
    found, by = epsilon(noise, rate, steps, 1 / n**2)
    assert by == "prv"
    assert found == pytest.approx(engine.get_epsilon(1 / n**2), rel=1e-9)


def test_where_the_prv_accountant_would_take_all_memory_the_other_one_counts():
    pytest.importorskip("opacus")
    from opacus.accountants import RDPAccountant

    own = RDPAccountant()
    own.history = [(0.1, 1.0, 12000)]
    assert epsilon(0.1, 1.0, 12000, 1 / 400) == (own.get_epsilon(1 / 400), "rdp")


def test_without_opacus_the_row_says_why_there_is_no_epsilon(monkeypatch):
    privacy._epsilon.cache_clear()
    monkeypatch.setitem(sys.modules, "opacus.accountants", None)
    with pytest.raises(BenchError, match=r"opacus is not installed[^$]*reconbench\[dp\]"):
        epsilon(1.0, 1.0, 10, 0.01)
    row = guarantees(Training(private=Private(1.0, 1.0)), Setting(epochs=10), 20, torch.zeros(38, 1, 2, 2), 2)
    assert "epsilon" not in row
    assert "reconbench[dp]" in row["epsilon_reason"]
    assert row["rero_prior"] == 1 / 20
    assert row["rero_bound"] == blow_up(1.0, 1.0, 10, 1 / 20)


def test_no_noise_no_promise():
    row = guarantees(Training(private=Private(math.inf, 0.0)), Setting(epochs=10), 20, torch.zeros(38, 1, 2, 2), 2)
    assert row["epsilon_reason"].startswith("no noise")
    assert row["rero_bound"] == row["tpr_bound"] == 1
    assert guarantees(None, Setting(), 20, None, 2) == guarantees(Training(dropout=0.5), Setting(), 20, None, 2) == {}


def setting(**fields):
    base = {"dataset": "lfw_faces", "n_per_class": 5, "hidden": (8,), "epochs": 20, "defense": "dp_sgd", "defense_params": {"noise": 10.0}}
    return Setting.model_validate({**base, **fields})


def test_the_row_of_a_target_tells_what_its_training_promises():
    pytest.importorskip("opacus")
    one = setting()
    [target] = work.obtain([one], None)
    told = target.secret.findable
    assert told["delta"] == 1 / 100
    assert told["epsilon"] == epsilon(10.0, 1.0, 20, 1 / 100)[0]
    assert told["rero_bound"] == blow_up(10.0, 1.0, 20, 1 / (1 + len(target.secret.lookalikes) / 2))
    again = work.secret_of(one).findable  # scoring without the network
    assert {k: again[k] for k in ("epsilon", "delta", "rero_bound", "tpr_bound")} == {
        k: told[k] for k in ("epsilon", "delta", "rero_bound", "tpr_bound")
    }
    minibatches = setting(optimizer="adam", batch_size=4, lr=0.01)
    assert work.secret_of(minibatches).findable["epsilon"] == epsilon(10.0, 0.4, 60, 1 / 100)[0]


@pytest.mark.parametrize(("rate", "noise"), [(1.0, 2.0), (0.5, 1.0)])
def test_no_membership_test_of_a_trained_network_beats_its_epsilon(rate, noise):
    """Many networks are trained by the code itself, with an image and without; the attack looks at the weights along that image's
    first gradient, knowing all other images. Its power is within (ε, δ) and within the bound, to the interval of so many networks."""
    pytest.importorskip("opacus")
    many, n, steps = 4000, 4, 3
    g = seeds.generator("membership", 1.0)
    one = Setting.model_validate({"hidden": (3,), "epochs": steps, "lr": 0.1, "bias": "none", "init_scale": 0.5, "dtype": "float64"})
    net = architecture(one, (1, 3, 3), 2)
    x = torch.rand(n, 1, 3, 3, generator=g, dtype=torch.float64) - 0.5
    x[0] *= 20  # the image that is in or not, whose gradient is the longest: it is shortened to 1
    labels = torch.arange(n) % 2
    start = initial_weights(net, 0.5, g)
    training = Training(private=Private(1.0, noise, rate))
    target = loss_targets(net.loss, labels, net.outputs)

    def networks(present: bool):
        settings = [one.model_copy(update={"seed": k + many * present}) for k in range(many)]
        keep = slice(0 if present else 1, n)
        stack = {name: w.expand(many, *w.shape) for name, w in start.items()}
        network = Defended(net, settings, stack, x[keep].expand(many, -1, -1, -1, -1), target[keep].expand(many, -1, -1), [training], 0.0)
        network._images_a_step = lambda: rate * n  # what both divide by is public
        for _ in range(steps):
            network.step()
        released = [network.weights(k, network.copy(k), steps) for k in range(many)]
        return torch.stack([torch.cat([(one[name] - w).flatten() for name, w in start.items()]) for one in released])

    own = {name: w.clone().requires_grad_() for name, w in start.items()}
    loss_value(net.loss, forward(net, own, x[:1]), target[:1]).backward()
    direction = -torch.cat([w.grad.flatten() for w in own.values()])
    scores = [(networks(present) @ direction).numpy() for present in (True, False)]
    delta = 1e-3
    eps, _ = epsilon(noise, rate, steps, delta)
    found = []
    for false in (0.01, 0.05, 0.2, 0.5):
        threshold = np.quantile(scores[1], 1 - false)
        power = float((scores[0] > threshold).mean())
        low = (
            power
            - 3 * math.sqrt(power * (1 - power) / len(scores[0]))
            - 3 * math.sqrt(false * (1 - false) / len(scores[1])) * math.exp(eps)
        )
        assert low <= math.exp(eps) * false + delta
        upper = false + 3 * math.sqrt(false * (1 - false) / len(scores[1]))
        assert power - 3 * math.sqrt(power * (1 - power) / len(scores[0])) <= blow_up(noise, rate, steps, upper)
        found.append(power - false)
    assert max(found) > 0.15, "the attack finds something, so that the bound says something"
