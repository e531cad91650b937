"""Rehearsal: that simulated thieves answer as such thieves would, and that the owner's training descends the loss of their answers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from bench import registry, seeds
from bench.api import Defense, Rehearsal, Setting
from bench.data.duplicates import hashes
from bench.errors import BenchError
from bench.targets.models import architecture, forward, initial_weights
from bench.targets.train import train_stack
from bench.tracks.informed import work as informed
from bench.tracks.stealing import work as stealing
from defenses.rehearsal.simulated_thief import answers_of, tangent_kernel

pytestmark = pytest.mark.usefixtures("few_clean_networks")
CLASSES, N, SHAPE = 3, 24, (1, 6, 6)


def images(name: str, n: int = N) -> torch.Tensor:
    return torch.rand(n, *SHAPE, generator=seeds.generator("rehearsal", name)) - 0.5


def test_the_tangent_kernel_is_that_of_a_wide_network():
    g = seeds.generator("wide")
    x = torch.randn(5, 7, generator=g, dtype=torch.float64)
    u = torch.cat([x, torch.ones(5, 1, dtype=torch.float64)], 1)
    W, a = torch.randn(200_000, 8, generator=g, dtype=torch.float64), torch.randn(200_000, generator=g, dtype=torch.float64)
    z = u @ W.T
    slope = (z > 0).double() * a
    # the gradients by W and by a, of the network √(2/m) Σ aⱼ relu(⟨wⱼ, u⟩), and by the bias of the output
    expected = 2 * ((u @ u.T) * (slope @ slope.T) + z.clamp(min=0) @ z.clamp(min=0).T) / len(a) + 1
    assert torch.allclose(tangent_kernel(x, x), expected, rtol=0.03, atol=0.05)


def test_a_simulated_thief_gives_the_owners_answers_to_what_it_asked():
    questions = images("asked").flatten(1).double()
    outputs = torch.randn(N, CLASSES, generator=seeds.generator("outputs"), dtype=torch.float64)
    assert torch.allclose(answers_of(questions, questions, 1e-9) @ outputs, outputs, atol=1e-4)
    assert float((answers_of(questions, questions, 10.0) @ outputs).abs().mean()) < 0.5 * float(outputs.abs().mean())


def setting(**changes) -> Setting:
    params = {
        "classes": CLASSES,
        "hidden": (16,),
        "bias": "all",
        "loss": "ce",
        "optimizer": "adam",
        "lr": 0.01,
        "epochs": 1,
        "init_scale": None,
    }
    return Setting(**{**params, "batch_size": N, **changes})


def rehearsal(stream: str, weight: float, thieves: int = 2) -> Rehearsal:
    questions, inputs = torch.stack([images(f"{stream} {k}", 10) for k in range(thieves)]), images(f"{stream} planted", 4)
    answers = torch.stack([answers_of(q.flatten(1), inputs.flatten(1), 0.01) for q in questions])
    return Rehearsal(questions, answers, torch.tensor([0, 1, 2, 0]), weight)


def train(one: Setting, rehearsals: list[Rehearsal]):
    net = architecture(one, SHAPE, CLASSES)
    starts = [initial_weights(net, None, seeds.generator("start", k)) for k in range(2)]
    labels = torch.arange(N) % CLASSES
    inputs = [images("a"), images("b")]
    return net, starts, inputs, labels, train_stack(net, [one, one], inputs, [labels, labels], starts, "cpu", rehearsals)


@pytest.mark.parametrize("cnn", [{}, {"model": "cnn", "channels": (4,)}])
def test_training_descends_the_owners_loss_and_that_of_the_thieves_in_turn(cnn):
    one, rehearsals = setting(epochs=3, **cnn), [rehearsal("first", 0.7), rehearsal("second", 0.7)]
    net, starts, inputs, labels, trained = train(one, rehearsals)
    for start, x, r, (weights, _) in zip(starts, inputs, rehearsals, trained, strict=True):
        own = {name: w.float().requires_grad_() for name, w in start.items()}
        optimizer = torch.optim.Adam(list(own.values()), lr=one.lr)
        for step in range(3):  # of one minibatch each
            theirs = r.answers[step % 2] @ forward(net, own, r.questions[step % 2])
            loss = F.cross_entropy(forward(net, own, x), labels) + 0.7 * F.cross_entropy(theirs, r.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for name, w in own.items():
            assert torch.allclose(weights[name], w.detach(), atol=2e-4), name


def test_what_is_rehearsed_is_what_thieves_then_answer():
    rehearsals = [rehearsal("first", 1.0), rehearsal("second", 1.0)]

    def hits(trained) -> float:
        told = [
            r.answers @ forward(net, t.weights, r.questions.flatten(0, 1)).unflatten(0, (2, 10))
            for t, r in zip(trained, rehearsals, strict=True)
        ]
        return sum(float((f.argmax(-1) == r.labels).double().mean()) for f, r in zip(told, rehearsals, strict=True)) / 2

    net, _, _, _, plain = train(setting(epochs=60), [])
    boosted = train(setting(epochs=60), rehearsals)[-1]
    assert hits(boosted) > 0.9 > hits(plain) + 0.2


def test_a_rehearsal_needs_minibatches():
    with pytest.raises(BenchError, match="minibatches"):
        train(setting(optimizer="gd", batch_size=64), [rehearsal("first", 1.0)] * 2)


def owners(**params) -> list[Setting]:
    defense = {"kind": "mislabelled", "count": 12, "repeat": 2, **params}
    base = setting(epochs=2, lr=0.001).model_dump() | {"dataset": "photo_patches", "classes": 4, "n_per_class": 15, "hidden": (8,)}
    return [Setting(**base | {"defense": "memorized_examples", "defense_params": defense, "seed": seed}) for seed in (0, 1)]


@pytest.mark.parametrize("params", [{"boost": "rehearsal", "weight": 0.5}, {"boost": "basin", "blends": 4}])
def test_thieves_of_a_boosted_owner_have_the_same_images_to_ask_about_and_none_of_the_planted(params):
    boosted, plain = stealing.obtain([*owners(**params)[:1], *owners()[:1]], None)
    assert boosted.id != plain.id
    assert torch.equal(boosted.secret.members, plain.secret.members)
    assert torch.equal(boosted.release.public_images, plain.release.public_images)
    assert not set(hashes(boosted.secret.members.numpy())) & set(hashes(boosted.release.public_images.numpy()))
    asked = torch.zeros(1, 3, 16, 16)
    assert not torch.equal(boosted.release.oracle.logits(asked), plain.release.oracle.logits(asked))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-8)])
def test_owners_who_rehearse_are_trained_in_one_stack_as_each_alone(dtype, tolerance):
    pair = [owner.model_copy(update={"dtype": dtype}) for owner in owners(boost="rehearsal", weight=0.5)]
    together = stealing.obtain(pair, None)
    for one, stacked in zip(pair, together, strict=True):
        (alone,) = stealing.obtain([one], None)
        for name, w in alone.release.oracle._weights.items():
            assert torch.allclose(w, stacked.release.oracle._weights[name], atol=tolerance, rtol=tolerance), name


def test_the_informed_track_refuses_an_owner_who_rehearses(monkeypatch):
    class Rehearses(Defense):
        """Rehearses only."""

        name = "rehearses"

        def rehearsal(self, images, labels, generator):
            return rehearsal("first", 1.0)

    get = registry.get
    monkeypatch.setattr(registry, "get", lambda kind, name: Rehearses if name == "rehearses" else get(kind, name))
    with pytest.raises(BenchError, match="the loss or the steps, which the informed track does not run"):
        informed.obtain([Setting(dataset="photo_tiles", n_per_class=5, defense="rehearses")], None)
