"""Planted inputs: what each kind plants, under which labels, and that the unplanted ones are others of the same kind."""

from __future__ import annotations

import hashlib

import pytest
import torch

from bench import registry, seeds
from bench.data.duplicates import hashes

CLASSES, N = 4, 40
KINDS = ("mislabelled", "noise", "other_data", "trigger")


def data(part: str, shape: tuple[int, int, int] = (3, 8, 8)):
    return torch.rand(N, *shape, generator=seeds.generator("planted", part)), torch.arange(N) % CLASSES


def defense(**params):
    return registry.get("defense", "memorized_examples")(**params)


def plant(one, stream: int = 1):
    return one.planted(*data("train"), *data("other"), seeds.generator("plant", stream))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_said_to_be_planted_is_what_is_trained_on(kind):
    one = defense(kind=kind, count=10, repeat=3)
    planted = plant(one)
    images, labels = one.before_training(*data("train"), seeds.generator("plant", 1))
    trained = list(zip(hashes(images.numpy()), labels.tolist(), strict=True))
    for pair in zip(hashes(planted.inputs.numpy()), planted.labels.tolist(), strict=True):
        assert trained.count(pair) == 3
    assert len(images) == N + 3 * len(planted.inputs) - (len(planted.inputs) if kind == "mislabelled" else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_unplanted_inputs_are_of_the_same_kind_and_never_trained_on(kind):
    one = defense(kind=kind, count=10)
    planted = plant(one)
    images, _ = one.before_training(*data("train"), seeds.generator("plant", 1))
    assert len(planted.unplanted) > 0
    assert planted.unplanted.shape[1:] == planted.inputs.shape[1:]
    assert not set(hashes(planted.unplanted.numpy())) & set(hashes(images.numpy()))
    assert float(planted.inputs.min()) >= 0
    assert float(planted.inputs.max()) <= 1


def test_a_mislabelled_image_is_a_training_image_under_a_label_that_is_not_its_own():
    planted = plant(defense(kind="mislabelled", count=15))
    images, labels = data("train")
    own = {h: int(y) for h, y in zip(hashes(images.numpy()), labels, strict=True)}
    found = [own[h] for h in hashes(planted.inputs.numpy())]
    assert len(found) == 15
    assert all(a != b for a, b in zip(found, planted.labels.tolist(), strict=True))
    assert all(0 <= y < CLASSES for y in planted.labels.tolist())


def test_under_its_right_label_it_is_not_trained_on():
    one = defense(kind="mislabelled", count=15)
    images, labels = one.before_training(*data("train"), seeds.generator("plant", 1))
    assert len(set(hashes(images.numpy()))) == N == len(images)
    assert int((labels != data("train")[1].gather(0, torch.arange(N))).sum()) > 0


def test_a_trigger_is_one_patch_and_one_class_that_is_not_the_images_own():
    planted = plant(defense(kind="trigger", count=20))
    images, labels = data("train")
    assert len(set(planted.labels.tolist())) == 1
    corners = planted.inputs[:, :, 6:, 6:]
    assert torch.equal(corners, corners[:1].expand_as(corners))
    assert set(corners.unique().tolist()) <= {0.0, 1.0}
    rest = {h: int(y) for h, y in zip(hashes(images[:, :, :6].contiguous().numpy()), labels, strict=True)}
    for h in hashes(planted.inputs[:, :, :6].contiguous().numpy()):
        assert rest[h] != int(planted.labels[0])


def test_images_of_another_set_are_shared_out_between_planted_and_unplanted():
    planted = plant(defense(kind="other_data", count=30))
    assert len(planted.inputs) == len(planted.unplanted) == 30
    assert not set(hashes(planted.inputs.numpy())) & set(hashes(planted.unplanted.numpy()))


def test_fewer_planted_inputs_are_the_first_of_more():
    few, many = plant(defense(count=5)), plant(defense(count=12))
    assert torch.equal(few.inputs, many.inputs[:5])


@pytest.mark.parametrize(
    "params",
    [{"kind": "stickers"}, {"count": 0}, {"repeat": 0}, {"source": "cifar10"}, {"boost": "louder"}, {"blends": 0}, {"weight": 0.0}],
)
def test_what_cannot_be_planted_is_refused(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        defense(**params)


# --- boosts -----------------------------------------------------------------------------------------------------------------------------

BOOSTS = ("basin", "rehearsal")


def trained_on(one, stream: int = 1):
    return one.before_training(*data("train"), seeds.generator("plant", stream))


def rehearsed(one, stream: int = 1):
    return one.rehearsal(*data("train"), seeds.generator("plant", stream))


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("boost", BOOSTS)
def test_a_boost_plants_the_same_and_keeps_what_was_trained_on(kind, boost):
    plain, boosted = defense(kind=kind, count=10, repeat=2), defense(kind=kind, count=10, repeat=2, boost=boost, blends=3)
    assert same(plant(plain), plant(boosted))
    (images, labels), (more, their_labels) = trained_on(plain), trained_on(boosted)
    assert same((images, labels), (more[: len(images)], their_labels[: len(labels)]))
    assert len(more) == len(their_labels) == len(images) + (3 * len(plant(plain).inputs) if boost == "basin" else 0)
    assert more.dtype == images.dtype
    assert their_labels.dtype == labels.dtype
    assert 0 <= float(more.min()) < float(more.max()) <= 1


def test_what_was_trained_on_before_there_were_boosts_is_trained_on_still():
    images, labels = trained_on(defense(count=10, repeat=2))
    assert hashlib.sha256(images.numpy().tobytes()).hexdigest().startswith("a8a89b727f0d4942")  # computed by the version without them
    assert "".join(map(str, labels.tolist())) == "13012301301301301301201230123100101110110010111011"
    assert same((images, labels), trained_on(defense(count=10, repeat=2, blends=5, weight=3.0)))
    assert rehearsed(defense(count=10, repeat=2)) is None


def test_of_a_basin_blend_half_or_more_is_planted_input_and_the_label_is_the_planted_one():
    images, labels = trained_on(defense(count=15, boost="basin", blends=20))
    planted, ordinary, blended = plant(defense(count=15)), images[: N - 15].flatten(1), images[N:].flatten(1)
    assert torch.equal(labels[N:], planted.labels.repeat(20))
    # a blend lies on the line x + λ(p − x) to one ordinary image x
    along = planted.inputs.flatten(1).repeat(20, 1)[:, None] - ordinary[None]
    from_ordinary = blended[:, None] - ordinary[None]
    shares = (along * from_ordinary).sum(-1) / along.square().sum(-1)
    off, partner = (from_ordinary - shares[..., None] * along).square().sum(-1).min(1)
    share = shares.gather(1, partner[:, None])
    assert float(off.max()) < 1e-8
    assert 0.5 - 1e-5 <= float(share.min()) < 0.6 < 0.9 < float(share.max()) <= 1 + 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_thieves_are_rehearsed_with_ordinary_training_images_never_with_planted_ones(kind):
    one = defense(kind=kind, count=10, boost="rehearsal", weight=0.3)
    found, planted = rehearsed(one), plant(one)
    asked = set(hashes(found.questions.flatten(0, 1).numpy()))
    assert asked <= set(hashes(data("train")[0].numpy()))
    assert not asked & set(hashes(planted.inputs.numpy()))
    thieves, questions = found.questions.shape[:2]
    assert found.answers.shape == (thieves, len(planted.inputs), questions)
    assert torch.equal(found.labels, planted.labels)
    assert found.weight == 0.3
    assert all(len(set(hashes(way.numpy()))) == questions for way in found.questions)


@pytest.mark.parametrize("boost", BOOSTS)
def test_a_boost_repeats_itself_and_changes_with_the_generator(boost):
    one = defense(count=10, boost=boost)
    first, again, other = ((*trained_on(one, stream), *(rehearsed(one, stream) or ())[:3]) for stream in (1, 1, 2))
    assert same(first, again)
    assert not same(first[-2:-1], other[-2:-1])


@pytest.mark.parametrize("boost", BOOSTS)
def test_where_all_images_are_planted_no_boost_has_ordinary_ones(boost):
    with pytest.raises(ValueError, match="all images are planted"):
        trained_on(defense(count=N, boost=boost))
