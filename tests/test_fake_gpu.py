"""Training, attacks and scoring on a device that is not the CPU: nothing reaches for the wrong one, and the numbers are the same."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from attacks.haim_kkt import HaimKKT
from attacks.kkt import engine
from attacks.reconstructor import fit_kernel
from bench import registry, seeds, tracks
from bench.api import Candidates, Setting
from bench.engine.prepare import hyperparameters
from bench.metrics import lpips
from bench.targets.models import architecture, bound_forward, initial_weights
from bench.targets.train import train_stack
from bench.tracks import informed, reconstruction
from bench.tracks.informed.score import score as score_informed
from bench.tracks.reconstruction.score import score
from tests.captures import same_every_time
from tests.fake_gpu import GPU, FakeGpu, OnGpu


def test_the_device_refuses_what_a_gpu_would():
    with FakeGpu():
        a, b = torch.ones(3, device=GPU), torch.ones(3)
        assert isinstance(a + b.to(GPU), OnGpu)
        assert (a + b.to(GPU)).cpu().tolist() == [2, 2, 2]
        a[:2].mul_(5)
        assert a.tolist() == [5, 5, 1]
        assert isinstance(torch.tensor([1, 2], device=GPU), OnGpu)
        for wrong in (lambda: a + b, lambda: torch.stack([a, b]), lambda: a.cpu()[a.long() - 1]):
            with pytest.raises(RuntimeError, match="same device"):
                wrong()
        with pytest.raises(TypeError, match="numpy"):
            a.numpy()


def draw(n: int, seed: int) -> torch.Tensor:
    return torch.rand(n, 1, 12, 12, generator=torch.Generator().manual_seed(seed))


def same(one, other) -> bool:
    """Whether two rows say the same."""
    return one.keys() == other.keys() and all(
        math.isclose(value, other[name], abs_tol=1e-5) if isinstance(value, float) else value == other[name] for name, value in one.items()
    )


def test_reconstructions_are_scored_there_with_the_same_result():
    members, controls = draw(5, 0), draw(5, 1)
    labels = torch.arange(5) % 2
    secret = reconstruction.Secret(members, labels, controls, labels, other=draw(4, 2), lookalikes=draw(9, 5))
    images = (torch.cat([members[:3], draw(17, 3)]) + 0.1 * draw(20, 4)).clamp(0, 1)
    run = torch.arange(20) % 2
    answer = Candidates(images, torch.linspace(1, 0, 20), 0.5, run, draw(20, 5))
    row, rows = score(answer, secret, bootstrap_seed=1)
    assert row["recall_members"] >= 0.6
    with FakeGpu():
        there = answer._replace(images=images.to(GPU))
        again, others = score(there, secret, bootstrap_seed=1)
    assert same(row, again)
    assert all(same(a, b) for a, b in zip(rows, others, strict=True))


def test_answers_of_the_informed_track_are_scored_there_with_the_same_result():
    members, controls, labels = draw(4, 0), draw(4, 1), torch.arange(4) % 2
    secret = informed.Secret(members, labels, controls, labels)
    images = (members + 0.2 * draw(4, 2)).clamp(0, 1)
    row, _ = score_informed(Candidates(images, None, None), secret, bootstrap_seed=1)
    with FakeGpu():
        again, _ = score_informed(Candidates(images.to(GPU), None, None), secret, bootstrap_seed=1)
    assert same(row, again)
    assert not lpips.unavailable() or row["lpips_reason"]


TRAINED = {
    "span": {"bias": "all", "optimizer": "heavy_ball"},
    "cnn": {"model": "cnn", "channels": (3,), "pooling": "max"},
}  # Adam's fused step knows PyTorch's own devices only


@pytest.mark.parametrize("kind", TRAINED)
def test_training_there_gives_the_same_weights(kind):
    settings = [Setting(hidden=(6,), epochs=6, n_per_class=4, lr=0.05, seed=s, **TRAINED[kind]) for s in (0, 1)]
    net = architecture(settings[0], (1, 12, 12), 2)
    starts = [initial_weights(net, s.init_scale, seeds.generator("fake", s.seed)) for s in settings]
    x, y = [draw(8, s.seed) - 0.5 for s in settings], [torch.arange(8) % 2] * 2
    here = train_stack(net, settings, x, y, starts)
    with FakeGpu():
        there = train_stack(net, settings, x, y, starts, GPU)
    for a, b in zip(here, there, strict=True):
        assert a.facts["loss_curve"] == b.facts["loss_curve"]
        assert all(type(w) is torch.Tensor and torch.equal(w, b.weights[name]) for name, w in a.weights.items())


def moved(release):
    """A release on the fake device."""
    weights = {name: w.to(GPU) for name, w in release.weights.items()}
    return dataclasses.replace(release, weights=weights, mean_image=release.mean_image.to(GPU))


@pytest.mark.parametrize("model", ["mlp", "cnn"])
@pytest.mark.parametrize("subspace", ["images", "none"])
def test_the_kkt_search_there_finds_the_same(monkeypatch, model, subspace):
    """As on a GPU, where the steps are captured and the box is dense."""
    setting = Setting(hidden=(6,), n_per_class=2, model=model, **({"channels": (3,)} if model == "cnn" else {}))
    net = architecture(setting, (1, 8, 8), 2)
    weights = {k: w.float() for k, w in initial_weights(net, 0.1, seeds.generator("fake kkt")).items()}
    release = reconstruction.Release(
        architecture=net, weights=weights, forward=bound_forward(net), n_train=4, mean_image=torch.full((1, 8, 8), 0.5)
    )
    attack = HaimKKT(steps=6, sigma=0.3, subspace=subspace)
    monkeypatch.setattr(engine, "captured", lambda device: True)
    monkeypatch.setattr(engine, "repeat", lambda step, times, device, alone: same_every_time(step, times))
    here = attack.reconstruct_batch([attack] * 2, [release] * 2, [seeds.generator(i) for i in range(2)])
    with FakeGpu():
        there = attack.reconstruct_batch([attack] * 2, [moved(release)] * 2, [seeds.generator(i) for i in range(2)])
        assert all(isinstance(answer.images, OnGpu) for answer in there)
        images = [answer.images.cpu() for answer in there]
    for a, b, found in zip(here, there, images, strict=True):
        torch.testing.assert_close(found, a.images, rtol=0, atol=1e-5)
        assert b.loss == pytest.approx(a.loss, rel=1e-4)


@pytest.mark.parametrize("memory", [2**30, 200_000])
def test_a_kernel_is_fitted_there(memory):
    rows, images = torch.randn(90, 5, generator=torch.Generator().manual_seed(0)), draw(90, 1)
    here = fit_kernel(rows, images, memory=memory)(rows[:3])
    with FakeGpu():
        there = fit_kernel(rows.to(GPU), images.to(GPU), memory=memory)(rows[:3].to(GPU))
        assert isinstance(there, OnGpu)
        there = there.cpu()
    torch.testing.assert_close(there, here, rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def targets():
    """One target, here and there, of each track whose attacks take it."""
    setting = Setting(dataset="photo_patches", n_per_class=3, hidden=(8,), epochs=20, seed=100)
    made = {}
    for name in ("reconstruction", "membership"):
        obtain = tracks.get(name).work.obtain
        with FakeGpu():
            made[name] = (obtain([setting], None, torch.device("cpu"))[0].release, obtain([setting], None, GPU)[0].release)
    return made


@pytest.mark.parametrize("name", list(registry.entries("attack")))
def test_every_attack_answers_there_as_here(targets, name):
    cls = registry.get("attack", name)
    if cls.track not in targets:
        pytest.skip("its targets take longer")
    if reason := cls().unsupported(targets[cls.track][0].architecture):
        pytest.skip(reason)
    attack, work = cls(**({"steps": 5} if "steps" in hyperparameters(cls) else {})), tracks.get(cls.track).work
    answers = []
    for release in targets[cls.track]:
        with FakeGpu():
            [raw] = cls.reconstruct_batch([attack], [work.narrow(release, cls.needs)], [seeds.generator("there", name)])
            answers.append(work.rounded(work.check_answer(raw, release)))
    assert work.alike(*answers, 1e-3)
