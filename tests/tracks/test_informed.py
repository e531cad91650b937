"""The informed track: what the attacker gets, that the secret stays secret, that training resumes, and that scores mean what they say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bench import registry, tracks
from bench.api import Candidates, Setting
from bench.check.handed import holds_any, reachable_tensors
from bench.data.split import split
from bench.errors import AttackFault, BenchError
from bench.files import Folder
from bench.metrics.ssim import ssim_matrix, ssim_pairs
from bench.targets import one_missing
from bench.targets.cache import TargetCache, target_id
from bench.tracks.informed import recipe
from bench.tracks.informed import work as informed
from bench.tracks.informed.answer import networks
from bench.tracks.informed.targets import _draw as draw

SMALL = {
    "dataset": "lfw_faces", "n_per_class": 10, "hidden": (6,), "bias": "all", "loss": "ce", "classes": 2, "init_scale": None,
    "optimizer": "heavy_ball", "lr": 0.05, "epochs": 60, "stop_loss": 0.2,
}  # fmt: skip
ALL = tracks.get("informed").tiers


@pytest.fixture(scope="module")
def target():
    return informed.obtain([Setting(**SMALL)], None)[0]


def test_the_networks_are_what_the_recipe_gives_for_the_secret_images(target):
    again = target.release.train(target.secret.members, target.secret.member_labels)
    for name, value in target.release.weights.items():
        assert torch.equal(again[name], value), name
    assert len(target.secret.members) == networks(target.release) == 38  # 39 a class are left of the set's hundred: 19 and 19
    assert 0 < target.facts["epochs_run"] < 60
    assert target.facts["train_loss"] < 0.35
    assert target.facts["train_accuracy"] > 0.9
    assert 0.5 < target.facts["test_accuracy"] <= 1


def test_secret_and_controls_are_seen_by_nobody(target):
    release, secret = target.release, target.secret
    parts = [secret.members, secret.controls, release.known_images, release.shadow_images]
    seen = [p.flatten(1).numpy().tobytes() for part in parts for p in part.split(1)]
    assert len(set(seen)) == len(seen), "one image stands in two parts"
    assert torch.equal(secret.member_labels, secret.control_labels)
    given = informed.narrow(release, ALL)
    for hidden in (secret.members, secret.controls):
        assert not any(holds_any(t, hidden) for t in reachable_tensors(given))


def test_what_an_attack_gets_follows_from_its_tiers(target):
    bare = informed.narrow(target.release, frozenset({"final_weights"}))
    for field in (
        "known_images",
        "known_labels",
        "shadow_images",
        "shadow_labels",
        "train",
        "mean_image",
        "initial_weights",
        "public_images",
    ):
        assert not hasattr(bare, field), field
    assert not hasattr(informed.narrow(target.release, frozenset({"final_weights", "known_data"})), "train")
    full = informed.narrow(target.release, ALL)
    assert full.train is target.release.train
    assert full.known_images.data_ptr() != target.release.known_images.data_ptr()
    with pytest.raises(BenchError, match="public_images, which the informed track does not grant"):
        informed.narrow(target.release, frozenset({"public_images"}))
    assert "queries" in tracks.ungrantable("informed", frozenset({"queries"}))


def test_an_answer_is_one_image_a_network(target):
    n = len(target.secret.members)
    assert len(informed.check_answer(torch.rand(n, 1, 25, 25), target.release).images) == n
    for wrong in (n - 1, n + 1):
        with pytest.raises(AttackFault, match="wrong number of images"):
            informed.check_answer(torch.rand(wrong, 1, 25, 25), target.release)
    with pytest.raises(AttackFault, match="NaN"):
        informed.check_answer(torch.full((n, 1, 25, 25), torch.nan), target.release)


def test_of_a_sweep_the_run_counts_that_the_attack_trusts_most():
    a, b, c = (Candidates(torch.full((2, 1, 3, 3), v), loss=v) for v in (0.5, 0.1, 0.9))
    assert informed.pool([a, b, c]) is b
    assert informed.pool([a._replace(loss=None), b._replace(loss=None)]).images[0, 0, 0, 0] == 0.5
    with pytest.raises(BenchError, match="no runs"):
        informed.pool([])


def test_confidences_choose_the_run_network_by_network_and_go_before_the_loss():
    def run(level: float, confidence: list[float], loss: float | None) -> Candidates:
        return Candidates(torch.full((3, 1, 2, 2), level), torch.tensor(confidence), loss)

    a, b = run(0.1, [1.0, 5.0, 2.0], 0.1), run(0.9, [3.0, 4.0, 2.0], None)
    pooled = informed.pool([a, b])
    assert pooled.images[:, 0, 0, 0].tolist() == pytest.approx([0.9, 0.1, 0.1]), "of equals the first run"
    assert pooled.confidence is not None
    assert pooled.confidence.tolist() == [3.0, 5.0, 2.0]
    assert pooled.loss == 0.1
    assert informed.pool([a, b._replace(confidence=None)]) is a, "not all runs have confidences"


def test_scores_compare_answer_i_with_image_i(target):
    secret = target.secret
    n = len(secret.members)
    row, rows = informed.score(Candidates(secret.members.clone()), secret, bootstrap_seed=0)
    assert row["recall_members"] == 1
    assert row["mse_mean"] == 0
    assert row["excess_recall"] == 1 - row["recall_controls"]
    assert row["beats_pool"] == 1
    moved, _ = informed.score(Candidates(secret.members.roll(1, 0)), secret, bootstrap_seed=0)
    expected = ssim_pairs(secret.members, secret.members.roll(1, 0), "gaussian")
    assert moved["ssim_mean"] == pytest.approx(float(expected.double().mean()), abs=1e-6)
    assert moved["mse_mean"] == pytest.approx(float(((secret.members - secret.members.roll(1, 0)) ** 2).mean()), rel=1e-5)
    swapped = dataclasses.replace(secret, members=secret.controls, controls=secret.members, pool={})
    back, _ = informed.score(Candidates(secret.controls.clone()), swapped, bootstrap_seed=0, thumbnails=False)
    assert back["recall_members"] == 1
    assert back.get("pool_mse_mean") is None
    assert [r["index"] for r in rows] == [*range(n), *range(n)]
    assert {r["split"] for r in rows} == {"member", "control"}
    assert sum(r["recon_png"] is not None for r in rows) == 6
    with pytest.raises(BenchError, match="nothing to score"):
        informed.score(Candidates(secret.members[1:]), secret, bootstrap_seed=0)


def test_the_null_model_is_the_nearest_pool_image(target):
    members, pool = target.secret.members, target.release.shadow_images
    squares = ((members[:, None] - pool[None]) ** 2).flatten(2).mean(2)
    assert np.allclose(target.secret.pool["pool_mse"], squares.amin(1), atol=1e-6)
    assert np.allclose(target.secret.pool["pool_ssim"], ssim_matrix(members, pool).amax(1), atol=1e-5)
    row, rows = informed.score(Candidates(pool[squares.argmin(1)]), target.secret, bootstrap_seed=0)
    assert row["mse_mean"] == pytest.approx(row["pool_mse_mean"], abs=1e-6)
    assert rows[0]["pool_mse"] == pytest.approx(rows[0]["mse"], abs=1e-6)


def test_a_target_is_cached_and_its_secret_can_be_drawn_again(tmp_path, target):
    cache, setting = TargetCache(tmp_path), Setting(**SMALL)
    first, again = informed.obtain([setting], cache)[0], informed.obtain([setting], cache)[0]
    for other in (again, target):
        assert all(torch.equal(first.release.weights[k], v) for k, v in other.release.weights.items())
        assert first.facts["epochs_run"] == other.facts["epochs_run"]
        assert list(first.release.weights) == list(other.release.weights), "in the order of the layers, from a file too"
    drawn = informed.secret_of(setting)
    assert torch.equal(drawn.members, first.secret.members)
    assert torch.allclose(drawn.pool["pool_mse"].double(), again.secret.pool["pool_mse"].double(), atol=1e-5)
    assert first.id == target_id(setting, registry.resolve_data("lfw_faces").digest(), "informed") != target_id(setting, "x")
    plain = target_id(setting, registry.resolve_data("lfw_faces").digest())
    assert first.id != plain, "one network and T of them are different targets"


def test_shadows_are_trained_once_and_a_killed_run_goes_on(tmp_path, monkeypatch, target):
    monkeypatch.setattr(recipe, "AT_ONCE", 8)
    known = target.release.train.known
    images, labels = target.release.shadow_images[:20], target.release.shadow_labels[:20]
    whole = target.release.train(images, labels)
    real, calls = one_missing.train, []

    def dies(known, images, *more, **other):
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(known, images, *more, **other)

    monkeypatch.setattr(one_missing, "train", dies)
    first = recipe.Recipe(known, torch.device("cpu"), Folder(tmp_path), "t")
    with pytest.raises(KeyboardInterrupt):
        first(images, labels)
    resumed = recipe.Recipe(known, torch.device("cpu"), Folder(tmp_path), "t")
    got = resumed(images, labels)
    assert calls == [8, 8, 8, 4], "the first eight were on disk"
    assert resumed.saved > 0, "reading them counts what they took"
    assert resumed.spent > resumed.saved
    for name, value in whole.items():
        assert torch.allclose(got[name], value, atol=1e-6), name
    next(tmp_path.glob("*.safetensors")).write_bytes(b"torn")
    third = recipe.Recipe(known, torch.device("cpu"), Folder(tmp_path), "t")
    assert torch.equal(third(images, labels)["layers.0.weight"], got["layers.0.weight"]), "a torn file is made again"


def test_what_an_attack_keeps_is_made_once(tmp_path):
    keeper = recipe.Keeper(Folder(tmp_path), "t", torch.device("cpu"))
    made = []

    def make():
        made.append(1)
        return {"a": torch.arange(3.0)}

    assert torch.equal(keeper("net, 3 epochs", make)["a"], torch.arange(3.0))
    assert torch.equal(keeper("net, 3 epochs", make)["a"], torch.arange(3.0))
    assert len(made) == 1
    assert keeper.saved >= 0
    keeper("net, 4 epochs", make)
    assert len(made) == 2
    assert torch.equal(recipe.Keeper(None, "t", torch.device("cpu"))("x", make)["a"], torch.arange(3.0))


def test_a_defence_of_the_weights_is_applied(target):
    noisy = informed.obtain([Setting(**SMALL, defense="weight_noise", defense_params={"relative_std": 0.1})], None)[0]
    assert not torch.equal(noisy.release.weights["layers.0.weight"], target.release.weights["layers.0.weight"])
    assert torch.equal(noisy.secret.members, target.secret.members)


def test_too_small_a_set_says_so():
    parts = split(registry.resolve_data("lfw_faces").load(), Setting(**{**SMALL, "n_per_class": 45}))
    few = dataclasses.replace(parts, test=parts.test[:4], test_labels=parts.test_labels[:4])
    with pytest.raises(BenchError, match="too small for the informed track"):
        draw(few, Setting(**SMALL))


def test_an_unknown_track_is_named():
    with pytest.raises(BenchError, match="unknown track 'informd'"):
        tracks.get("informd")


def test_a_defence_that_changes_the_data_is_refused(tmp_path):
    plugin = tmp_path / "blur_data.py"
    plugin.write_text(
        '''from dataclasses import dataclass
from typing import ClassVar

from bench.api import Defense
from bench.registry import register


@register
@dataclass(frozen=True)
class HalveData(Defense):
    """Trains on darker images."""

    name: ClassVar[str] = "halve_data"

    def before_training(self, images, labels, generator):
        return images / 2, labels
'''
    )
    registry.load_plugin(str(plugin))
    with pytest.raises(BenchError, match="changes the training data"):
        informed.obtain([Setting(**SMALL, defense="halve_data")], None)


def test_a_forward_that_holds_data_is_refused(target):
    secret = target.secret.members
    leaking = dataclasses.replace(target.release, forward=lambda weights, x: x + secret[0])
    with pytest.raises(BenchError, match="forward function holds data"):
        informed.narrow(leaking, ALL)


def test_a_recipe_whose_images_an_attack_changes_is_noticed(target):
    release = informed.narrow(target.release, frozenset({"final_weights", "initial_weights", "known_data"}))
    before = informed.fingerprint(release)
    assert informed.fingerprint(informed.narrow(target.release, frozenset({"final_weights", "initial_weights", "known_data"}))) == before
    kept = release.train.known.images.clone()
    try:
        release.train.known.images.mul_(0)
        assert informed.fingerprint(release) != before
    finally:
        release.train.known.images.copy_(kept)
