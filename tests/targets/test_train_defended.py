"""Steps that a defence changes: each equals a plain loop in pixels, in a stack as alone, and private ones are as private as they say."""

from __future__ import annotations

import math

import pytest
import torch

from bench import seeds
from bench.api import HeldOut, Private, Rehearsal, Setting, Training
from bench.errors import BenchError
from bench.targets.losses import loss_gradient, loss_targets, loss_value, smoothed
from bench.targets.models import architecture, forward, initial_weights
from bench.targets.train import train_stack
from bench.targets.train_defended import Defended
from bench.targets.train_span import left_of_noise

OPEN = Private(clip=math.inf, noise=0.0)
N = 6


def problem(n=N, shape=(1, 5, 6), k=2, **fields):
    """A setting, its architecture, centred inputs, labels and initial weights, from fixed names."""
    settings = {"hidden": (7, 5), "epochs": 30, "lr": 0.1, "dtype": "float64", "weight_decay": 0.01, "bias": "all", "init_scale": None}
    setting = Setting.model_validate({**settings, **fields})
    net = architecture(setting, shape, k)
    g = seeds.generator("test", setting.seed)
    x = torch.rand(n, *shape, generator=g, dtype=torch.float64)
    return setting, net, x - x.mean(0), torch.arange(n) % k, initial_weights(net, setting.init_scale, g)


def train(case, training=None, **more):
    setting, net, x, labels, start = case
    return train_stack(net, [setting], [x], [labels], [start], changes=[training], **more)[0]


def same(a, b, tolerance=1e-8):
    for name, expected in b.items():
        torch.testing.assert_close(a[name], expected, rtol=tolerance, atol=tolerance)


KINDS = {
    "gd": {},
    "no bias": {"bias": "none"},
    "first bias": {"bias": "first", "activation": "tanh"},
    "heavy_ball": {"optimizer": "heavy_ball"},
    "adam": {"optimizer": "adam", "lr": 0.01, "batch_size": N},
    "cnn": {"model": "cnn", "channels": (3,)},
    "cnn heavy_ball": {"model": "cnn", "channels": (3,), "optimizer": "heavy_ball", "pooling": "max"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_private_training_without_noise_and_clipping_gives_the_undefended_weights(kind):
    case = problem(**KINDS[kind])
    same(train(case, Training(private=OPEN)).weights, train(case).weights)


def test_more_images_than_pixels_too():
    case = problem(n=40)
    same(train(case, Training(private=OPEN)).weights, train(case).weights)


def clipped_sum(net, weights, x, labels, clip):
    """The textbook loop: one image at a time, by autograd."""
    total = {name: torch.zeros_like(w) for name, w in weights.items()}
    norms = []
    for one, label in zip(x, labels, strict=True):
        own = {name: w.clone().requires_grad_() for name, w in weights.items()}
        loss_value(net.loss, forward(net, own, one[None]), loss_targets(net.loss, label[None], net.outputs)).backward()
        norm = torch.sqrt(sum(w.grad.square().sum() for w in own.values()))
        norms.append(float(norm))
        for name, w in own.items():
            total[name] += w.grad * min(1.0, clip / float(norm))
    return total, norms


@pytest.mark.parametrize("bias", ["all", "first", "none"])
@pytest.mark.parametrize("loss", ["bce", "mse", "ce"])
@pytest.mark.parametrize("model", [{}, {"hidden": (9,), "activation": "gelu"}, {"model": "cnn", "channels": (3,), "hidden": (5,)}])
def test_gradients_of_single_images_equal_a_loop(model, loss, bias):
    setting, net, x, labels, start = problem(**{**model, "loss": loss, "bias": bias, "epochs": 1, "weight_decay": 0.0})
    clip = sorted(clipped_sum(net, start, x, labels, math.inf)[1])[N // 2] * 1.0001  # some are shortened, some are not
    total, _ = clipped_sum(net, start, x, labels, clip)
    expected = {name: w - setting.lr * total[name] / N for name, w in start.items()}
    trained = train((setting, net, x, labels, start), Training(private=Private(clip, 0.0)))
    same(trained.weights, expected, 1e-10)


@pytest.mark.parametrize("optimizer", ["gd", "heavy_ball"])
def test_many_clipped_steps_equal_a_loop(optimizer):
    clip = 0.3
    case = problem(optimizer=optimizer)
    setting, net, x, labels, start = case
    weights = {name: w.clone() for name, w in start.items()}
    change = {name: torch.zeros_like(w) for name, w in start.items()}
    for _ in range(setting.epochs):
        total, _ = clipped_sum(net, weights, x, labels, clip)
        for name, w in weights.items():
            change[name] = (0.9 if optimizer == "heavy_ball" else 0) * change[name] + total[name] / N + setting.weight_decay * w
            weights[name] = w - setting.lr * change[name]
    same(train(case, Training(private=Private(clip, 0.0))).weights, weights)


def test_many_clipped_steps_of_a_convolutional_network_in_pieces_are_those_in_one(monkeypatch):
    case = problem(model="cnn", channels=(3,))
    whole = train(case, Training(private=Private(0.3, 0.0))).weights
    monkeypatch.setattr("bench.targets.train_defended.AT_ONCE", 1)
    same(train(case, Training(private=Private(0.3, 0.0))).weights, whole)


class Zeroed(Defended):
    """Steps by the noise alone."""

    def _gradients(self, *given):
        return [torch.zeros_like(w) for w in self.parameters.values()]


@pytest.mark.parametrize(("optimizer", "n"), [("gd", 6), ("heavy_ball", 6), ("gd", 40)])
def test_the_noise_is_what_it_should_be_inside_the_span_of_the_images_and_beyond(monkeypatch, optimizer, n):
    monkeypatch.setattr("bench.targets.train.Defended", Zeroed)
    setting, net, x, labels, start = problem(n=n, optimizer=optimizer, hidden=(800,), epochs=8, weight_decay=0.5)
    zero = {name: torch.zeros_like(w) for name, w in start.items()}
    noise, clip = 3.0, 0.5
    weights = train((setting, net, x, labels, zero), Training(private=Private(clip, noise))).weights
    decay, momentum = 1 - setting.lr * setting.weight_decay, 0.9 if optimizer == "heavy_ball" else 0.0
    left, change, kept = 1.0, 1.0, []
    for _ in range(8):
        kept.append(left)
        change = momentum * change + (decay - 1) * left
        left += change
    size = setting.lr * noise * clip / n * math.sqrt(sum(k * k for k in kept))
    assert size == pytest.approx(setting.lr * noise * clip / n * left_of_noise(decay, momentum, 8))
    first, inside = weights["layers.0.weight"], torch.linalg.svd(x.flatten(1))[2]
    rank = int(torch.linalg.matrix_rank(x.flatten(1)))
    along = first @ inside.mT  # its columns: directions inside the span, then beyond
    for part in (along[:, :rank], along[:, rank:], weights["layers.1.weight"]):
        if part.numel():
            assert float(part.square().mean().sqrt()) == pytest.approx(size, rel=4 / math.sqrt(2 * part.numel()))


def test_one_step_of_noise_is_that_of_the_mean_gradient():
    case = problem(epochs=1, weight_decay=0.0, hidden=(900,))
    setting, _, _, _, start = case
    weights = train(case, Training(private=Private(1e-9, 1e9))).weights  # a sum of gradients of 1e-9 each, and noise of 1
    moved = torch.cat([(weights[name] - start[name]).flatten() for name in start])
    assert float(moved.std()) == pytest.approx(setting.lr / N, rel=0.03)


def test_poisson_samples_hold_each_image_by_its_chance_and_by_that_alone():
    setting, net, x, labels, start = problem(n=20)
    training = Training(private=Private(1.0, 0.0, 0.3))
    target = loss_targets(net.loss, labels, net.outputs)[None]
    network = Defended(net, [setting], {k: w[None] for k, w in start.items()}, x[None], target, [training], 0.0)
    seen, sizes = torch.zeros(20), []
    for _ in range(2000):
        rows, valid = network._poisson(0.3)
        seen[rows[valid]] += 1
        sizes.append(int(valid.sum()))
        assert len(set(rows[valid].tolist())) == int(valid.sum())
    assert float((seen / 2000 - 0.3).abs().max()) < 4 * math.sqrt(0.3 * 0.7 / 2000)
    spread = torch.tensor(sizes, dtype=torch.float64)
    assert float(spread.mean()) == pytest.approx(6, abs=4 * math.sqrt(20 * 0.21 / 2000))
    assert float(spread.var()) == pytest.approx(20 * 0.21, rel=0.15)


@pytest.mark.parametrize("fields", [{}, {"optimizer": "adam", "batch_size": 2, "lr": 0.01}, {"model": "cnn", "channels": (3,)}])
def test_a_step_on_a_sample_is_the_sum_over_it_by_the_size_that_it_has_on_average(monkeypatch, fields):
    """Whoever is not in the sample leaves no trace, also where others of the stack fill it up."""
    rate = 1.0 if fields.get("optimizer") == "adam" else 1 / 3
    case = problem(**{**fields, "epochs": 1, "weight_decay": 0.0})
    setting, net, x, labels, start = case
    rows, valid = torch.tensor([[4, 1, 0]]), torch.tensor([[True, True, False]])
    monkeypatch.setattr(Defended, "_poisson", lambda self, rate: (rows, valid))
    trained = train(case, Training(private=Private(0.3, 0.0, rate))).weights
    total, _ = clipped_sum(net, start, x[[4, 1]], labels[[4, 1]], 0.3)
    if "optimizer" not in fields:
        same(trained, {name: w - setting.lr * total[name] / 2 for name, w in start.items()}, 1e-10)
        return
    weights = {name: w.clone().requires_grad_() for name, w in start.items()}
    adam = torch.optim.Adam(weights.values(), lr=setting.lr)
    for _ in range(3):  # ⌈n / batch_size⌉
        total, _ = clipped_sum(net, {name: w.detach() for name, w in weights.items()}, x[[4, 1]], labels[[4, 1]], 0.3)
        for name, w in weights.items():
            w.grad = total[name] / 2
        adam.step()
    same(trained, {name: w.detach() for name, w in weights.items()})


EVERY = {
    "smoothing": Training(smoothing=0.2),
    "mixup": Training(mixing=1.0),
    "dropout": Training(dropout=0.5),
    "private": Training(private=Private(0.5, 1.0)),
    "sampled": Training(private=Private(0.5, 1.0, 0.4)),
    "sampled dropout": Training(dropout=0.5, private=Private(0.5, 1.0, 0.4)),
    "private dropout": Training(dropout=0.5, private=Private(0.5, 1.0)),
    "variants": Training(variants=torch.rand(3, N, 1, 5, 6, generator=seeds.generator("variants"), dtype=torch.float64) - 0.5),
    "private variants": Training(
        variants=torch.rand(3, N, 1, 5, 6, generator=seeds.generator("variants"), dtype=torch.float64) - 0.5, private=Private(0.5, 1.0)
    ),
    "held out": Training(held_out=HeldOut(torch.arange(N) < 2, 2, 2)),
}


@pytest.mark.parametrize("fields", [{}, {"optimizer": "adam", "batch_size": 4}, {"model": "cnn", "channels": (3,)}], ids=str)
@pytest.mark.parametrize("name", EVERY)
def test_a_stack_gives_what_single_runs_give_and_the_same_seed_the_same_weights(name, fields):
    if name.startswith("sampled") and "optimizer" in fields:
        pytest.skip("adam samples by its batch size")
    lr = {"lr": 0.01} if "optimizer" in fields else {}
    cases = [problem(seed=seed, epochs=6, **fields, **lr) for seed in (0, 1)]
    columns = list(zip(*cases, strict=True))
    together = train_stack(cases[0][1], columns[0], columns[2], columns[3], columns[4], changes=[EVERY[name]] * 2)
    for case, stacked in zip(cases, together, strict=True):
        alone = train(case, EVERY[name])
        same(stacked.weights, alone.weights, 1e-7)
        again = train(case, EVERY[name])
        assert all(torch.equal(w, again.weights[key]) for key, w in alone.weights.items())
    other = train((cases[0][0].model_copy(update={"seed": 5}), *cases[0][1:]), EVERY[name])
    drawn = name not in ("smoothing", "held out") or "optimizer" in fields
    equal = all(torch.equal(w, other.weights[key]) for key, w in train(cases[0], EVERY[name]).weights.items())
    assert equal != drawn


def descent(case, batch, masks=lambda step: None, steps=30):
    """Plain descent in pixels by autograd on what ``batch(step)`` gives."""
    setting, net, _, _, start = case
    weights = {name: w.clone().requires_grad_() for name, w in start.items()}
    optimizer = torch.optim.SGD(weights.values(), lr=setting.lr, weight_decay=setting.weight_decay)
    for step in range(steps):
        x, target = batch(step)
        optimizer.zero_grad()
        a = x.flatten(1)
        for layer in range(3):
            a = a @ weights[f"layers.{layer}.weight"].mT + weights[f"layers.{layer}.bias"]
            if layer < 2:
                a = torch.relu(a)
                if masks(step) is not None:
                    a = a * masks(step)[layer]
        loss_value(net.loss, a, target).backward()
        optimizer.step()
    return {name: w.detach() for name, w in weights.items()}


def target_of(case):
    return loss_targets(case[1].loss, case[3], case[1].outputs)


def test_smoothed_labels_are_those_that_are_trained_on():
    case = problem()
    soft = 0.8 * target_of(case) + 0.2 * 0.5
    same(train(case, Training(smoothing=0.2)).weights, descent(case, lambda step: (case[2], soft)))


@pytest.mark.parametrize(("loss", "k"), [("bce", 1), ("ce", 3), ("ce", 2), ("mse", 1), ("mse", 4), ("huber", 3)])
def test_smoothed_labels_are_the_mean_over_classes_by_a_share(loss, k):
    classes = max(2, k)
    every = loss_targets(loss, torch.arange(classes), k)
    torch.testing.assert_close(smoothed(loss, every, 0.3), 0.7 * every + 0.3 * every.mean(0))
    assert smoothed(loss, every, 0.0) is every


def test_mixup_blends_images_and_labels_by_one_share_a_step():
    case = problem()
    pairs, shares = seeds.generator("training", 0), seeds.numpy_generator("mixing", 0)

    def batch(step):
        partner, share = torch.randperm(N, generator=pairs), shares.beta(0.7, 0.7)
        target = target_of(case)
        return share * case[2] + (1 - share) * case[2][partner], share * target + (1 - share) * target[partner]

    same(train(case, Training(mixing=0.7)).weights, descent(case, batch))


def test_dropout_switches_hidden_units_off_and_scales_the_others_up():
    case = problem()
    draw = seeds.generator("training", 0)
    drawn: dict[int, list] = {}

    def masks(step):
        if step not in drawn:
            drawn[step] = [torch.empty(N, h, dtype=torch.float64).bernoulli_(0.75, generator=draw) / 0.75 for h in (7, 5)]
        return drawn[step]

    same(train(case, Training(dropout=0.25)).weights, descent(case, lambda step: (case[2], target_of(case)), masks))
    values = torch.cat([m.flatten() for pair in drawn.values() for m in pair])
    assert set(values.tolist()) == {0.0, 1 / 0.75}
    assert float(values.mean()) == pytest.approx(1, abs=0.06)


def test_of_each_image_a_variant_is_shown():
    case, draw = problem(), seeds.generator("training", 0)
    variants = EVERY["variants"].variants

    def batch(step):
        return variants[torch.randint(3, (N,), generator=draw), torch.arange(N)], target_of(case)

    same(train(case, EVERY["variants"]).weights, descent(case, batch))


@pytest.mark.parametrize("optimizer", ["gd", "adam"])
def test_what_is_held_out_says_when_to_stop_and_is_not_trained_on(optimizer):
    out = torch.arange(12) < 4
    fields = {"optimizer": "adam", "batch_size": 8, "lr": 0.02} if optimizer == "adam" else {"lr": 0.5}
    case = problem(n=12, epochs=400, weight_decay=0.0, **fields)
    setting, net, x, labels, start = case
    stopped = train(case, Training(held_out=HeldOut(out, 3, 10)))
    target = target_of(case)

    def held_out_loss(weights):
        return float(loss_value(net.loss, forward(net, weights, x[out]), target[out]))

    losses = {}
    for epochs in range(0, 400, 10):
        short = setting.model_copy(update={"epochs": max(1, epochs)})
        weights = start if not epochs else train_stack(net, [short], [x[~out]], [labels[~out]], [start])[0].weights
        losses[epochs] = held_out_loss(weights)
        best = min(losses, key=losses.__getitem__)
        if epochs - best >= 30:
            break
    assert stopped.facts["epochs_run"] == best < 370, "the case is one that stops early"
    assert held_out_loss(stopped.weights) == pytest.approx(losses[best])
    moved = x.clone()
    moved[0] += 1e-3  # an image that is held out moves no weight
    near = train((setting, net, moved, labels, start), Training(held_out=HeldOut(out, 3, 10)))
    if near.facts["epochs_run"] == best:
        same(near.weights, stopped.weights, 1e-6)


def test_early_stopping_keeps_the_last_weights_while_the_loss_falls():
    case = problem(epochs=20, lr=1e-3)
    x = torch.cat([case[2][:3], case[2][:3]])  # what is held out is trained on
    labels = torch.cat([case[3][:3], case[3][:3]])
    trained = train((*case[:2], x, labels, case[4]), Training(held_out=HeldOut(torch.arange(N) < 3, 1, 5)))
    assert trained.facts["epochs_run"] == 20


@pytest.mark.parametrize("training", [t for name, t in EVERY.items() if name != "held out"], ids=[n for n in EVERY if n != "held out"])
def test_training_still_learns(training):
    if training.private is not None:
        training = training._replace(private=training.private._replace(noise=0.3))
    case = problem(epochs=150, lr=1.0, weight_decay=0.0, hidden=(40,))
    if training.variants is not None:
        training = training._replace(variants=case[2] + 0.05 * training.variants)
    plain = float(loss_value("bce", forward(case[1], case[4], case[2]), target_of(case)))
    weights = train(case, training).weights
    assert float(loss_value("bce", forward(case[1], weights, case[2]), target_of(case))) < 0.7 * plain


REFUSED = {
    "a clip of nothing": (Training(private=Private(0.0, 1.0)), {}),
    "noise without a clip": (Training(private=Private(math.inf, 1.0)), {}),
    "a rate of nothing": (Training(private=Private(1.0, 1.0, 0.0)), {}),
    "negative noise": (Training(private=Private(1.0, -1.0)), {}),
    "a rate beside adam's": (Training(private=Private(1.0, 1.0, 0.5)), {"optimizer": "adam"}),
    "blends that are private": (Training(mixing=1.0, private=Private(1.0, 1.0)), {}),
    "a stop that tells": (Training(private=Private(1.0, 1.0)), {"stop_loss": 0.1}),
    "held out and private": (Training(held_out=HeldOut(torch.arange(N) < 2, 1, 1), private=OPEN), {}),
    "all held out": (Training(held_out=HeldOut(torch.ones(N, dtype=torch.bool), 1, 1)), {}),
    "other images held out": (Training(held_out=HeldOut(torch.arange(3) < 2, 1, 1)), {}),
    "no patience": (Training(held_out=HeldOut(torch.arange(N) < 2, 0, 1)), {}),
    "all units off": (Training(dropout=1.0), {}),
    "labels of nothing": (Training(smoothing=1.0), {}),
    "no Beta": (Training(mixing=-1.0), {}),
    "variants of others": (Training(variants=torch.zeros(2, N + 1, 1, 5, 6)), {}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused(name):
    training, fields = REFUSED[name]
    with pytest.raises(BenchError, match="expected"):
        train(problem(**fields), training)


def test_a_rehearsal_beside_other_steps_is_refused():
    rehearsal = Rehearsal(torch.rand(1, 2, 1, 5, 6), torch.rand(1, 3, 2), torch.arange(3) % 2, 1.0)
    with pytest.raises(BenchError, match="rehearses and changes"):
        train(problem(optimizer="adam"), Training(dropout=0.5), rehearsals=[rehearsal])


def test_the_gradient_of_the_loss_is_by_images_of_equal_weight():
    """What the shares rest on: n times the mean loss's gradient at an image is the gradient of its own loss."""
    out = torch.randn(4, 3, generator=seeds.generator("out"), dtype=torch.float64)
    target = loss_targets("ce", torch.arange(4) % 3, 3)
    for i in range(4):
        torch.testing.assert_close(4 * loss_gradient("ce", out, target)[i], loss_gradient("ce", out[i : i + 1], target[i : i + 1])[0])
