"""Obtaining targets: the key, the cache, and what a corrupt file or a full disk does."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image

from bench import registry
from bench.api import Setting
from bench.errors import BenchError, StorageError
from bench.targets.cache import TargetCache, target_id
from bench.tracks.reconstruction.targets import obtain

SMALL = {"n_per_class": 3, "hidden": (6,), "epochs": 20}


def test_key_holds_what_matters_and_nothing_else():
    a = target_id(Setting(**SMALL), "d1")
    assert a == target_id(Setting(**SMALL), "d1")
    assert a == target_id(Setting(**SMALL, dataset="somewhere_else"), "d1")  # content counts, not the name
    assert a != target_id(Setting(**SMALL), "d2")
    changes = {
        "seed": 1, "lr": 0.5, "weight_decay": 0.1, "epochs": 21, "hidden": (7,), "activation": "tanh", "loss": "mse",
        "dtype": "float64", "init_scale": None, "stop_loss": 0.1, "n_per_class": 4, "bias": "all", "defense": "rounding",
    }  # fmt: skip
    keys = {field: target_id(Setting(**{**SMALL, field: value}), "d1") for field, value in changes.items()}
    assert len({a, *keys.values()}) == len(changes) + 1
    assert target_id(Setting(**SMALL, defense="rounding", defense_params={"bits": 4}), "d1") != keys["defense"]


def test_the_key_is_stable():
    """Published rows are compared by it: if this fails, TRAIN_VERSION or the fields changed, and results must be made anew."""
    assert target_id(Setting(), "0123456789abcdef") == "9c3a617f89e54485"


def test_trained_once(bench_home):
    cache, trained = TargetCache(bench_home), []
    settings = [Setting(**SMALL, seed=s) for s in (0, 1)]
    first = obtain(settings, cache, on_trained=trained.append)
    again = obtain([settings[1], settings[0], settings[1]], cache, on_trained=trained.append)
    assert trained == settings
    for a, b in zip([first[1], first[0], first[1]], again, strict=True):
        assert a.id == b.id
        assert a.facts == b.facts
        for name, w in a.release.weights.items():
            assert torch.equal(w, b.release.weights[name])
    assert {"train_accuracy", "test_accuracy", "train_loss", "epochs_run", "kkt_residual", "loss_curve"} <= set(first[0].facts)
    assert 0 <= first[0].facts["kkt_residual"] <= 1


def test_a_training_that_diverges_takes_no_other_with_it(bench_home):
    cache, trained = TargetCache(bench_home), []
    settings = [Setting(**SMALL, lr=100 if s == 1 else 0.02, activation="leaky_relu", loss="mse", seed=s) for s in range(4)]
    with pytest.raises(BenchError, match=r"(?s)training diverged.*at lr 100"):
        obtain(settings, cache, on_trained=trained.append)
    assert trained == [settings[0], *settings[2:]]
    assert all(cache.get(target_id(s, registry.resolve_data(s.dataset).digest())) is not None for s in trained)


def test_a_corrupt_file_is_set_aside_and_trained_again(bench_home):
    cache, setting = TargetCache(bench_home), Setting(**SMALL)
    target = obtain([setting], cache)[0]
    path = bench_home / "targets" / f"{target.id}.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match="corrupt"):
        again = obtain([setting], cache)[0]
    assert path.with_suffix(".corrupt").is_file()
    assert path.is_file()
    assert all(torch.equal(w, again.release.weights[k]) for k, w in target.release.weights.items())


def test_a_full_disk_leaves_no_half_file(bench_home, monkeypatch):
    cache = TargetCache(bench_home)
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match="disk is full"):
        obtain([Setting(**SMALL)], cache)
    assert list((bench_home / "targets").iterdir()) == []


def test_defences_act_on_the_released_weights():
    plain, rounded, noisy = (
        obtain([Setting(**SMALL, defense=name, defense_params=params)])[0].release.weights["layers.0.weight"]
        for name, params in [("none", {}), ("rounding", {"bits": 2}), ("weight_noise", {"relative_std": 0.5})]
    )
    assert len(rounded.unique()) <= 3
    assert (noisy - plain).std().item() == pytest.approx(0.5 * plain.std().item(), rel=0.1)
    assert plain.unique().numel() > 100


def test_the_same_images_under_another_path_are_the_same_target_and_the_same_members(tmp_path, bench_home):
    """The key leaves the path out, so the draw must too, or a cached network would be scored against images it never saw."""
    generator = np.random.default_rng(0)
    for folder in ("first", "second"):
        for name in ("a", "b"):
            (tmp_path / folder / name).mkdir(parents=True)
    for name in ("a", "b"):
        for i in range(30):
            pixels = generator.integers(0, 256, (12, 12), dtype=np.uint8)
            for folder in ("first", "second"):
                Image.fromarray(pixels).save(tmp_path / folder / name / f"{i:02}.png")
    cache = TargetCache(bench_home)
    first, second = (obtain([Setting(**SMALL, dataset=f"folder:{tmp_path / folder}")], cache)[0] for folder in ("first", "second"))
    assert first.id == second.id
    assert torch.equal(first.secret.members, second.secret.members)
    assert torch.equal(first.secret.controls, second.secret.controls)
