"""Thieves: what they ask, what it costs, what they learn where the answer is known, and copies in a stack that are the copies alone."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from attacks.theft.lesson import Lesson, directions_of, distance, images_of, right_labels
from attacks.theft.thief import _scaled, taught
from bench import registry, seeds
from bench.api import Architecture
from bench.targets.losses import predicted
from bench.targets.models import forward, initial_weights
from bench.targets.oracle import Asked
from bench.tracks.stealing import Release
from bench.tracks.stealing import work as stealing
from bench.tracks.stealing.networks import NETWORKS

OWNER = Architecture("mlp", (1, 5, 5), (16,), 4, "relu", "all", "ce")
NAMES = ("steal_labels", "steal_logits", "steal_gradients", "clean_model", "steal_clean_gradients")


def owner_of(net: Architecture = OWNER, k: int = 0, public: int = 300, dtype: torch.dtype = torch.float32) -> Release:
    """A release of an owner with random weights, its outputs far apart."""
    g = seeds.generator("steal", k)
    weights = {name: 3 * w.to(dtype) for name, w in initial_weights(net, None, g).items()}
    images = torch.rand(public, *net.input_shape, generator=g).to(dtype)
    mean = torch.full(net.input_shape, 0.5, dtype=dtype)
    labels = torch.randint(max(2, net.outputs), (public,), generator=g)
    asked = Asked(net, weights, mean)
    return Release(architecture=net, n_train=50, public_images=images, other_images=images[:20].flip(-1), shadow_images=images,
                   shadow_labels=labels, oracle=asked, networks=NETWORKS)  # fmt: skip


def steal(name: str, release: Release, **params):
    cls = registry.get("attack", name)
    mine = stealing.narrow(release, cls.needs)
    answer = cls(**params).reconstruct(mine, seeds.generator("thief", name))
    return stealing.check_answer(answer, mine)


def classes(answer, images: Tensor) -> Tensor:
    return predicted(forward(answer.architecture, answer.weights, images - answer.mean_image))


def agreement(answer, release: Release) -> float:
    fresh = torch.rand(500, *release.architecture.input_shape, generator=seeds.generator("fresh"))
    return float((classes(answer, fresh) == release.oracle.labels(fresh)).double().mean())


# --- questions --------------------------------------------------------------------------------------------------------------------------


def test_sources_of_questions():
    release = stealing.narrow(owner_of(public=30), frozenset({"public_images"}))
    known = {tuple(x.flatten().tolist()) for x in release.public_images}

    def ask(source: str, count: int, noise: float = 0.1):
        return images_of(release, source, count, noise, seeds.generator("ask"))

    held = ask("held_out", 100)
    assert len(held) == 30, "each public image once"
    assert {tuple(x.flatten().tolist()) for x in held} == known
    assert len(ask("held_out", 12)) == 12
    perturbed = ask("perturbed", 100)
    assert len(perturbed) == 100
    assert not {tuple(x.flatten().tolist()) for x in perturbed} & known
    assert float(perturbed.min()) >= 0
    assert float(perturbed.max()) <= 1
    assert {tuple(x.flatten().tolist()) for x in ask("perturbed", 100, noise=0.0)} == known
    noise = ask("noise", 500)
    assert noise.shape == (500, 1, 5, 5)
    assert float(noise.mean()) == pytest.approx(0.5, abs=0.02)


def test_other_data_are_asked_about_as_they_are_and_then_perturbed():
    release = stealing.narrow(owner_of(), frozenset({"public_images"}))
    others = {tuple(x.flatten().tolist()) for x in release.other_images}
    few = images_of(release, "other_data", 15, 0.1, seeds.generator("ask"))
    assert len(few) == 15
    assert {tuple(x.flatten().tolist()) for x in few} < others
    many = images_of(release, "other_data", 55, 0.1, seeds.generator("ask"))
    assert {tuple(x.flatten().tolist()) for x in many[:20]} == others
    assert not {tuple(x.flatten().tolist()) for x in many[20:]} & others
    nearest = (many[20:, None] - release.other_images).square().flatten(2).mean(2).sqrt().amin(1)
    assert float(nearest.max()) < 0.15, "each is one of them, and noise"
    assert (float(many.min()), float(many.max())) >= (0.0, 0.0)
    assert float(many.max()) <= 1


@pytest.mark.parametrize(
    ("name", "params", "cost"),
    [
        ("steal_labels", {}, 100),
        ("steal_logits", {}, 100),
        ("steal_gradients", {}, 200),
        ("steal_gradients", {"probes": 3}, 400),
        ("steal_gradients", {"jacobian": "top"}, 200),
        ("steal_gradients", {"jacobian": "full"}, 500),
        ("steal_gradients", {"smooth": 4}, 500),
        ("steal_gradients", {"smooth": 2, "probes": 3}, 700),
        ("steal_labels", {"source": "other_data"}, 100),
        ("steal_clean_gradients", {"probes": 3}, 100),
        ("clean_model", {}, 0),
    ],
)
def test_what_a_theft_costs_in_answers(name, params, cost):
    assert steal(name, owner_of(), queries=100, epochs=1, **params).used == cost


def test_a_thief_that_asks_for_too_much_is_refused():
    release = owner_of()
    cls = registry.get("attack", "steal_logits")
    mine = stealing.narrow(release, cls.needs)
    mine.oracle.limit = 99
    with pytest.raises(Exception, match="refuses"):
        cls(queries=100, epochs=1).reconstruct(mine, seeds.generator("thief"))


# --- learning ---------------------------------------------------------------------------------------------------------------------------


def test_copies_agree_with_the_owner_and_the_more_they_see_the_more():
    release = owner_of()
    labels, logits, gradients = (agreement(steal(name, release, epochs=150, lr=0.01), release) for name in NAMES[:3])
    clean = agreement(steal("clean_model", release, epochs=150, lr=0.01), release)
    assert labels > clean + 0.2
    assert gradients > labels
    assert logits > labels
    assert gradients > 0.9


def test_a_copy_by_gradients_has_the_owners_gradients():
    """With 40 questions, logits alone leave the Jacobian open, and the gradients do not."""
    release = owner_of()
    fresh = torch.rand(100, 1, 5, 5, generator=seeds.generator("jacobian"))
    eye = torch.eye(4).expand(100, 4, 4)
    want = release.oracle.gradients(fresh, eye)

    def error(name: str, **params) -> float:
        answer = steal(name, release, queries=40, epochs=600, lr=0.01, **params)
        own = Asked(answer.architecture, answer.weights, answer.mean_image).gradients(fresh, eye)
        return float(((own - want) ** 2).sum() / (want**2).sum())

    assert error("steal_gradients", jacobian="full") < 0.5 * error("steal_logits")


def test_smoothed_gradients_are_means_over_the_neighbourhood():
    """Of many copies the mean of the owner's gradients around the image, which a kink of the network pulls away from that at it."""
    release, cls = owner_of(), registry.get("attack", "steal_gradients")
    mine = stealing.narrow(release, cls.needs)
    plain = cls(queries=10).ask(mine, seeds.generator("smooth"))
    smooth = cls(queries=10, smooth=500, smooth_noise=0.3).ask(mine, seeds.generator("smooth"))
    assert torch.equal(plain.images, smooth.images)
    assert torch.equal(plain.directions, smooth.directions)
    near = plain.images + 0.3 * torch.randn(2000, *plain.images.shape, generator=seeds.generator("near"))
    near = near.clamp(0, 1).flatten(0, 1)
    want = release.oracle.gradients(near, plain.directions.repeat(2000, 1, 1)).reshape(2000, *plain.gradients.shape).mean(0)
    wide = float((plain.gradients - want).square().sum())
    assert float((smooth.gradients - want).square().sum()) < 0.05 * wide


def test_the_gradients_beside_the_owners_logits_are_of_a_network_that_never_saw_the_owner():
    """They are those of a network trained on right labels with the same draws, times the ratio of the outputs' scales."""
    release, cls = owner_of(), registry.get("attack", "steal_clean_gradients")
    attack, generator = cls(queries=60, epochs=20), seeds.generator("clean")
    mine = stealing.narrow(release, cls.needs)
    [lesson] = cls.lessons([attack], [mine], [seeds.generator("clean")])
    [clean] = taught([attack], [right_labels(mine, 60, generator)], [mine], [generator])
    images = attack.questions(mine, generator)
    assert torch.equal(lesson.images, images)
    assert torch.equal(lesson.logits, mine.oracle.logits(images))
    assert torch.equal(lesson.directions, directions_of(lesson.logits, "random", 1, generator))
    own = Asked(clean.architecture, clean.weights, clean.mean_image)
    scale = lesson.logits.square().mean().sqrt() / own.logits(images).square().mean().sqrt()
    torch.testing.assert_close(lesson.gradients, scale * own.gradients(images, lesson.directions))
    of_owner = release.oracle.gradients(images, lesson.directions)
    assert float((lesson.gradients - of_owner).square().sum()) > 0.3 * float(of_owner.square().sum())


def test_outputs_come_back_in_their_own_scale():
    release = owner_of()
    answer = steal("steal_gradients", release, epochs=200, lr=0.01)
    fresh = torch.rand(100, 1, 5, 5, generator=seeds.generator("scale"))
    own, want = forward(answer.architecture, answer.weights, fresh - answer.mean_image), release.oracle.logits(fresh)
    assert float((own - want).square().mean() / want.square().mean()) < 0.1


def test_a_scaled_lesson_is_true_of_the_scaled_network():
    release = owner_of()
    images = release.public_images[:20]
    directions = torch.randn(20, 2, 4, generator=seeds.generator("directions"))
    lesson = Lesson(
        images, logits=release.oracle.logits(images), directions=directions, gradients=release.oracle.gradients(images, directions)
    )
    scaled, scale = _scaled(lesson)
    assert float(scaled.logits.square().mean()) == pytest.approx(1)
    assert float(scaled.gradients.square().sum((-3, -2, -1)).mean()) == pytest.approx(1)
    batch = Lesson(**{name: value[None] for name, value in scaled.tensors().items()})

    def owner(x: Tensor) -> Tensor:
        return forward(OWNER, release.oracle._weights, x) / scale

    centred = images[None] - 0.5
    assert float(distance(batch, centred, owner, 1.0).detach()) == pytest.approx(0, abs=1e-9)
    nothing = float(distance(batch, centred, lambda x: 0 * owner(x), 1.0).detach())
    assert nothing == pytest.approx(2, rel=1e-4), "a network that answers 0 is at 1 of the logits and 1 of the gradients"


def test_the_distance_of_gradients_is_the_mean_over_images_of_squared_differences():
    release, other = owner_of(), owner_of(k=1)
    images = release.public_images[:6]
    directions = torch.randn(6, 2, 4, generator=seeds.generator("directions"))
    lesson = Lesson(
        images, logits=release.oracle.logits(images), directions=directions, gradients=release.oracle.gradients(images, directions)
    )
    batch = Lesson(**{name: value[None] for name, value in lesson.tensors().items()})
    got = distance(batch, images[None] - 0.5, lambda x: forward(OWNER, other.oracle._weights, x), 0.7)
    logits = (other.oracle.logits(images) - lesson.logits).square().mean()
    steep = (other.oracle.gradients(images, directions) - lesson.gradients).square().sum((-3, -2, -1)).mean()
    torch.testing.assert_close(got[0], logits + 0.7 * steep)


# --- architectures and stacks -----------------------------------------------------------------------------------------------------------

CNN = Architecture("cnn", (1, 8, 8), (10,), 3, "relu", "all", "ce", (4,), 3, "stride")


@pytest.mark.parametrize("net", [OWNER, CNN, dataclasses.replace(OWNER, outputs=1, loss="bce")], ids=["mlp", "cnn", "one output"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-8)], ids=["float32", "float64"])
def test_a_stack_is_the_copies_alone(net, name, dtype, tolerance):
    cls = registry.get("attack", name)
    attacks = [cls(queries=40, epochs=3), cls(queries=40, epochs=3), cls(queries=40, epochs=3, model="mlp", hidden=(6,))]
    releases = [owner_of(net, k, dtype=dtype) for k in range(3)]

    def narrowed():
        return [stealing.narrow(release, cls.needs) for release in releases]

    together = cls.reconstruct_batch(attacks, narrowed(), [seeds.generator("run", k) for k in range(3)])
    alone = [a.reconstruct(r, seeds.generator("run", k)) for k, (a, r) in enumerate(zip(attacks, narrowed(), strict=True))]
    assert all(w.dtype == dtype for answer in together for w in answer.weights.values())
    assert all(stealing.alike(a, b, tolerance) for a, b in zip(together, alone, strict=True))
    assert together[2].architecture.hidden == (6,)


@pytest.mark.parametrize("owner", [OWNER, CNN], ids=["mlp", "cnn"])
def test_a_thief_may_have_an_architecture_of_its_own(owner):
    dense = steal("steal_gradients", owner_of(owner), epochs=1, model="mlp", hidden=(9,)).architecture
    assert (dense.model, dense.hidden, dense.channels, dense.outputs) == ("mlp", (9,), (), owner.outputs)
    convolutional = steal("steal_gradients", owner_of(owner), epochs=1, model="cnn", hidden=(9,), channels=(3, 5)).architecture
    assert (convolutional.model, convolutional.channels, convolutional.pooling) == ("cnn", (3, 5), "stride")
    assert steal("steal_labels", owner_of(owner), epochs=1).architecture == owner


@pytest.mark.parametrize(
    ("name", "params"),
    [("steal_labels", {"source": "thin air"}), ("steal_logits", {"queries": 0}),
     ("steal_gradients", {"probes": 0}), ("steal_logits", {"model": "transformer"}), ("steal_labels", {"lr": 0.0}),
     ("steal_gradients", {"smooth": -1}), ("steal_gradients", {"smooth_noise": 0.0}), ("steal_clean_gradients", {"probes": 0})],
)  # fmt: skip
def test_hyperparameters_that_mean_nothing_are_refused(name, params):
    with pytest.raises(ValueError, match=next(iter(params))):
        registry.get("attack", name)(**params)
