"""Planted inputs: what each kind plants, under which labels, and that the unplanted ones are others of the same kind."""

from __future__ import annotations

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


@pytest.mark.parametrize("params", [{"kind": "stickers"}, {"count": 0}, {"repeat": 0}, {"source": "cifar10"}])
def test_what_cannot_be_planted_is_refused(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        defense(**params)
