"""Defences that change how the owner trains: what they ask for, what they refuse, and undefended targets that stay as they were."""

from __future__ import annotations

import math

import pytest
import torch

from bench import registry, seeds
from bench.api import Private, Setting, Training
from bench.check.defense import check_defense
from bench.errors import BenchError
from bench.targets.cache import target_id
from bench.tracks.informed import work as informed
from bench.tracks.reconstruction import work as reconstruction

NAMES = ("augmentation", "dp_sgd", "dropout", "early_stopping", "label_smoothing", "mixup")
DIGITS = torch.rand(20, 1, 6, 6, generator=seeds.generator("images"))
LABELS = torch.arange(20) % 2


def defense(name, **params):
    return registry.get("defense", name)(**params)


def training(name, **params) -> Training:
    return defense(name, **params).training(DIGITS, LABELS, seeds.generator("training"))


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_holds(name):
    outcomes = check_defense(registry.get("defense", name))
    assert "training is one that networks can be trained by" in {outcome.name for outcome in outcomes}
    assert all(outcome.ok for outcome in outcomes), [o for o in outcomes if not o.ok]


BAD = [
    ("dp_sgd", {"clip": 0.0}, "clip"), ("dp_sgd", {"clip": math.inf}, "null"), ("dp_sgd", {"noise": -1.0}, "noise"),
    ("dp_sgd", {"clip": None}, "without one"), ("dp_sgd", {"rate": 0.0}, "rate"), ("dp_sgd", {"rate": 1.5}, "rate"),
    ("label_smoothing", {"share": 1.0}, "share"), ("label_smoothing", {"share": -0.1}, "share"), ("mixup", {"alpha": -1.0}, "alpha"),
    ("mixup", {"alpha": math.nan}, "alpha"), ("dropout", {"rate": 1.0}, "rate"), ("early_stopping", {"share": 0.0}, "share"),
    ("early_stopping", {"patience": 0}, "patience"), ("early_stopping", {"every": 0}, "every"), ("augmentation", {"shift": -1}, "shift"),
    ("augmentation", {"variants": 0}, "variants"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "params", "word"), BAD)
def test_numbers_that_mean_nothing_are_refused(name, params, word):
    with pytest.raises(ValueError, match=word):
        defense(name, **params)


def test_a_shift_as_wide_as_the_images_is_refused():
    with pytest.raises(ValueError, match="6×6"):
        training("augmentation", shift=6)


def test_what_they_ask_for():
    assert training("dp_sgd", clip=2.0, noise=3.0, rate=0.5) == Training(private=Private(2.0, 3.0, 0.5))
    assert training("dp_sgd", clip=None, noise=0.0).private == Private(math.inf, 0.0)
    assert training("label_smoothing", share=0.3) == Training(smoothing=0.3)
    assert training("mixup", alpha=0.2) == Training(mixing=0.2)
    assert training("dropout", rate=0.1) == Training(dropout=0.1)


@pytest.mark.parametrize(("share", "count"), [(0.2, 4), (0.01, 1), (0.5, 10), (0.99, 20)])
def test_what_is_held_out_is_of_all_classes_alike(share, count):
    held_out = training("early_stopping", share=share).held_out.images
    assert int(held_out.sum()) == count
    assert abs(int((held_out & (LABELS == 0)).sum()) - int((held_out & (LABELS == 1)).sum())) <= 1


def test_variants_are_shifted_and_mirrored_images():
    made = training("augmentation", shift=2, variants=5).variants
    assert made.shape == (5, *DIGITS.shape)
    padded = torch.nn.functional.pad(DIGITS, [2] * 4, mode="replicate")
    seen = set()
    for v in range(5):
        for i, one in enumerate(made[v]):
            places = {
                (y, x, flip)
                for y in range(5)
                for x in range(5)
                for flip in (False, True)
                if torch.equal(one.flip(-1) if flip else one, padded[i, :, y : y + 6, x : x + 6])
            }
            assert places
            seen |= places
    assert len({(y, x) for y, x, _ in seen}) > 15
    assert {flip for _, _, flip in seen} == {False, True}
    still = training("augmentation", shift=0, flip=False, variants=2).variants
    assert torch.equal(still[0], DIGITS)
    assert torch.equal(still[1], DIGITS)


def setting(**fields) -> Setting:
    base = {"dataset": "lfw_faces", "n_per_class": 5, "hidden": (8,), "epochs": 300, "init_scale": None, "lr": 0.1}
    return Setting.model_validate({**base, **fields})


@pytest.mark.parametrize("name", NAMES)
def test_a_defended_target_is_trained_cached_and_named_apart(name):
    params = {"noise": 0.5} if name == "dp_sgd" else {}
    one = setting(defense=name, defense_params=params)
    target, plain = reconstruction.obtain([one, setting()], None)
    [again] = reconstruction.obtain([one], None)
    assert target.id != plain.id
    assert torch.equal(target.secret.members, plain.secret.members)
    assert all(torch.equal(w, again.release.weights[key]) for key, w in target.release.weights.items())
    assert not all(torch.equal(w, plain.release.weights[key]) for key, w in target.release.weights.items())
    assert target.facts["train_accuracy"] >= 0.7
    assert target.release.n_train == (8 if name == "early_stopping" else 10)


def test_private_training_without_noise_and_clipping_is_the_undefended_target():
    open_ = setting(dtype="float64", defense="dp_sgd", defense_params={"clip": None, "noise": 0.0})
    defended, plain = reconstruction.obtain([open_, setting(dtype="float64")], None)
    for key, w in plain.release.weights.items():
        torch.testing.assert_close(defended.release.weights[key], w, rtol=1e-8, atol=1e-8)


def test_the_informed_track_refuses_them():
    with pytest.raises(BenchError, match="or the steps, which the informed track does not run"):
        informed.obtain([Setting(dataset="photo_tiles", n_per_class=5, defense="dropout")], None)


def test_undefended_targets_are_trained_by_the_steps_that_they_were_trained_by(monkeypatch):
    """No defence, no other code: what defended networks go through is not even made."""

    def never(*given):
        raise AssertionError("an undefended network went through a defence's steps")

    monkeypatch.setattr("bench.targets.train.Defended", never)
    for optimizer in ("gd", "heavy_ball", "adam"):
        reconstruction.obtain([setting(epochs=3, optimizer=optimizer)], None)
    reconstruction.obtain([setting(epochs=3, model="cnn", channels=(3,))], None)
    with pytest.raises(AssertionError, match="went through"):
        reconstruction.obtain([setting(epochs=3, defense="dropout")], None)


def test_names_of_undefended_targets_stay():
    assert target_id(setting(), "0" * 16) == "7f12d55af62e4e69"
