"""What counts as a member of a watermarked network: ordinary and planted images, once, under the label trained with; and its controls."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from bench import registry, seeds
from bench.api import Setting
from bench.data.duplicates import hashes
from bench.data.split import split
from bench.targets.cache import TargetCache, target_id
from bench.targets.margin import margins
from bench.tracks.reconstruction import work as reconstruction
from bench.tracks.reconstruction.secret import secret_from, training_data
from bench.tracks.reconstruction.targets import obtain

SMALL: dict[str, Any] = {"n_per_class": 5, "hidden": (8,), "epochs": 30}
PARAMS: dict[str, dict[str, Any]] = {
    "mislabelled": {"count": 3},
    "noise": {"count": 4},
    "trigger": {"count": 10},
    "other_data": {"count": 4, "source": "photo_tiles"},
}
ADDED = {"mislabelled": 0, "noise": 4, "trigger": 5, "other_data": 4}


def setting(kind: str, **more: Any) -> Setting:
    return Setting(**{**SMALL, **more}, defense="memorized_examples", defense_params={"kind": kind, "repeat": 2, **PARAMS[kind]})


def drawn(one: Setting) -> tuple[Any, Any, Any, str]:
    source = registry.resolve_data(one.dataset)
    name = target_id(one, source.digest())
    defense = registry.get("defense", one.defense)(**one.defense_params)
    parts = split(source.load(), one)
    return parts, defense, secret_from(parts, defense, name), name


@pytest.mark.parametrize("kind", PARAMS)
def test_members_are_all_that_was_trained_on_once_under_the_label_trained_with(kind):
    parts, defense, secret, name = drawn(setting(kind))
    images, labels = training_data(parts, defense, name)
    trained = Counter(zip(hashes(images.numpy()), labels.tolist(), strict=True))
    members = list(zip(hashes(secret.members.numpy()), secret.member_labels.tolist(), strict=True))
    assert Counter(members).keys() == trained.keys()
    assert len(members) == len(trained) == 10 + ADDED[kind]
    twice = {key for key, count in trained.items() if count == 2}
    assert {key for key, planted in zip(members, secret.planted["member"].tolist(), strict=True) if planted} == twice
    assert len(twice) == (3 if kind == "mislabelled" else ADDED[kind])


@pytest.mark.parametrize("kind", PARAMS)
def test_controls_are_alike_in_kind_and_number_and_none_was_trained_on(kind):
    parts, defense, secret, name = drawn(setting(kind))
    images, _ = training_data(parts, defense, name)
    controls = hashes(secret.controls.numpy())
    assert not set(controls) & set(hashes(images.numpy()))
    assert len(set(controls)) == len(controls) == len(secret.members)
    usual = hashes(parts.control)
    marked = secret.planted["control"]
    assert int(marked.sum()) == int(secret.planted["member"].sum())
    assert [key for key in controls if key in usual] == usual
    if kind == "mislabelled":  # controls themselves, under labels that are not theirs
        assert controls == usual
        assert (secret.control_labels != torch.from_numpy(parts.control_labels)).tolist() == marked.tolist()
    else:
        assert [key for key, planted in zip(controls, marked.tolist(), strict=True) if not planted] == usual
    stream = seeds.generator("defense", "data", name)
    pairs = [torch.from_numpy(part) for part in (parts.train, parts.train_labels, parts.control, parts.control_labels)]
    planted = defense.planted(*pairs, stream)
    assert set(hashes(secret.controls[marked].numpy())) == set(hashes(planted.unplanted.numpy()))


def test_a_mislabelled_member_keeps_its_image_and_has_the_other_label():
    parts, _, secret, _ = drawn(setting("mislabelled"))
    own = dict(zip(hashes(parts.train), parts.train_labels.tolist(), strict=True))
    right = torch.tensor([own[key] for key in hashes(secret.members.numpy())])
    assert torch.equal(right != secret.member_labels, secret.planted["member"])


@pytest.mark.parametrize("defense", ["none", "rounding"])
def test_where_nothing_is_planted_members_and_controls_are_those_of_the_split(defense):
    one = Setting(**SMALL, defense=defense)
    parts, _, secret, _ = drawn(one)
    for given, part in zip(
        (secret.members, secret.member_labels, secret.controls, secret.control_labels),
        (parts.train, parts.train_labels, parts.control, parts.control_labels),
        strict=True,
    ):
        assert torch.equal(given, torch.from_numpy(part))
    assert not secret.planted
    assert secret.mean_image is None


@pytest.mark.parametrize("kind", ["mislabelled", "trigger"])
def test_a_target_is_measured_at_what_it_was_trained_on(kind, bench_home):
    two = [setting(kind, seed=seed, init_scale=None) for seed in (0, 1)]  # outputs that are not 0
    for target, one in zip(obtain(two, TargetCache(bench_home)), two, strict=True):
        secret, release = target.secret, target.release
        assert release.n_train == len(secret.members) == len(secret.stationarity["multiplier"])
        mean = torch.from_numpy(split(registry.resolve_data(one.dataset).load(), one).train).mean(0)
        assert torch.equal(secret.mean_image, mean)
        assert torch.allclose(release.mean_image, mean)
        for side, images, labels in (
            ("member", secret.members, secret.member_labels),
            ("control", secret.controls, secret.control_labels),
        ):
            expected = margins(release.forward, release.weights, images - mean, labels)
            assert torch.allclose(secret.stationarity[f"{side}_margin"], expected)
        right = float((secret.stationarity["member_margin"] > 0).double().mean())
        assert target.facts["train_accuracy"] == pytest.approx(right)


def test_blends_of_planted_inputs_are_training_images_and_no_members(bench_home):
    params = {"kind": "noise", "count": 4, "boost": "basin", "blends": 3}
    plain = Setting(**SMALL, defense="memorized_examples", defense_params={"kind": "noise", "count": 4})
    target, other = obtain([plain.model_copy(update={"defense_params": params}), plain], TargetCache(bench_home))
    assert (target.release.n_train, other.release.n_train) == (10 + 4 + 12, 10 + 4)
    assert len(target.secret.members) == len(target.secret.controls) == 14
    assert target.secret.planted["member"].tolist() == [False] * 10 + [True] * 4


def test_scoring_again_draws_the_same_secret(bench_home):
    one = setting("noise")
    first, again = obtain([one], TargetCache(bench_home))[0].secret, reconstruction.secret_of(one)
    for name in ("members", "member_labels", "controls", "control_labels", "mean_image"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert all(torch.equal(first.planted[side], again.planted[side]) for side in ("member", "control"))


def test_what_one_attacker_may_own_is_neither_planted_nor_a_control(bench_home):
    """Planted images of the set itself may be images that would have been public."""
    one = Setting(**SMALL, defense="memorized_examples", defense_params={"kind": "other_data", "count": 60})
    target = obtain([one], TargetCache(bench_home))[0]
    secret = {*hashes(target.secret.members.numpy()), *hashes(target.secret.controls.numpy())}
    assert len(target.release.public_images) < len(split(registry.resolve_data(one.dataset).load(), one).public)
    assert not secret & set(hashes(target.release.public_images.numpy()))
    assert not set(hashes(target.secret.members.numpy())) & set(hashes(target.secret.controls.numpy()))


def test_networks_of_different_numbers_of_planted_inputs_are_trained_apart(bench_home):
    """How many images get the trigger depends on the class that chance makes its goal."""
    settings = [
        Setting(**SMALL, seed=seed, defense="memorized_examples", defense_params={"kind": "trigger", "count": 5}) for seed in range(4)
    ]
    targets = obtain(settings, TargetCache(bench_home))
    assert len({target.release.n_train for target in targets}) > 1
    for target in targets:
        alone = obtain([target.setting], None)[0]
        assert all(torch.allclose(w, alone.release.weights[name], atol=1e-5) for name, w in target.release.weights.items())


def test_the_key_of_a_watermarked_target_says_how_it_is_measured(monkeypatch):
    one = setting("noise")
    before = target_id(one, "d"), target_id(one, "d", "stealing"), target_id(Setting(**SMALL, defense="rounding"), "d")
    monkeypatch.setattr("bench.targets.cache.PLANTED_VERSION", 99)
    after = target_id(one, "d"), target_id(one, "d", "stealing"), target_id(Setting(**SMALL, defense="rounding"), "d")
    assert before[0] != after[0]
    assert before[1:] == after[1:]
