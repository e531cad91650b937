"""The stealing track: what a thief gets and what not, the oracle that counts and refuses, scores of networks known by construction."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bench import tracks
from bench.api import Architecture, Network, Planted, Secret, Setting
from bench.check import holds_any, reachable_tensors
from bench.data.duplicates import hashes
from bench.errors import BenchError
from bench.targets.cache import TargetCache
from bench.targets.models import forward, initial_weights
from bench.tracks import stealing
from bench.tracks.reconstruction import AttackFault

EVERY = frozenset({"public_images", "shadow_data", "query_labels", "queries", "input_gradients"})
BASE = {
    "dataset": "photo_patches", "classes": 3, "n_per_class": 20, "hidden": [12], "bias": "all", "loss": "ce", "optimizer": "adam",
    "lr": 0.003, "epochs": 30, "init_scale": None, "defense": "memorized_examples", "defense_params": {"count": 10, "repeat": 3},
}  # fmt: skip


def setting(**more) -> Setting:
    return Setting.model_validate({**BASE, **more})


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return TargetCache(tmp_path_factory.mktemp("stealing"))


@pytest.fixture(scope="module")
def target(cache):
    return stealing.obtain([setting(seed=0), setting(seed=1)], cache)[0]


# --- what the thief gets ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mislabelled", "noise", "other_data", "trigger"])
def test_planted_and_unplanted_inputs_are_never_in_the_pool(kind):
    owner = stealing._draft(setting(defense_params={"kind": kind, "count": 10}))
    pool = set(hashes(owner.pool.numpy()))
    secret = [*hashes(owner.planted.inputs.numpy()), *hashes(owner.planted.unplanted.numpy()), *hashes(owner.images.numpy())]
    assert len(pool) == len(owner.pool) > 100
    assert not pool & set(secret)
    test = set(hashes(owner.test.numpy()))
    assert not pool & test


def test_a_thief_is_given_no_weights_and_no_planted_input(target):
    mine = stealing.narrow(target.release, EVERY)
    assert dict(mine.weights) == {}
    assert (mine.initial_weights, mine.mean_image, mine.known_images) == (None, None, None)
    with pytest.raises(BenchError, match="weights are not released"):
        mine.forward({}, target.release.public_images[:1])
    mark = [target.secret.members, target.secret.controls]
    for tensor in reachable_tensors(mine):
        assert not any(holds_any(tensor, images[:3]) for images in mark)


def test_tiers_give_what_they_name(target):
    bare = stealing.narrow(target.release, frozenset({"public_images"}))
    assert bare.oracle is None
    assert bare.shadow_labels is None
    assert bare.device.type == "cpu"
    some = stealing.narrow(target.release, frozenset({"public_images", "query_labels"}))
    images = some.public_images[:4]
    assert some.oracle.labels(images).shape == (4,)
    for ask in (lambda: some.oracle.logits(images), lambda: some.oracle.gradients(images, torch.ones(4, 1, 3))):
        with pytest.raises(BenchError, match="does not answer that"):
            ask()
    assert some.oracle.used == 4, "what is refused is not counted"
    assert "final_weights" in stealing.ungrantable(frozenset({"final_weights"}))
    with pytest.raises(BenchError, match="needs initial_weights"):
        stealing.narrow(target.release, frozenset({"initial_weights"}))


def test_the_oracle_answers_as_the_owners_network_does(target):
    oracle = stealing.narrow(target.release, EVERY).oracle
    images = target.release.public_images[:5]
    held = target.release.oracle
    x = (images - held._mean).requires_grad_()
    out = forward(target.release.architecture, target.release.weights, x)
    torch.testing.assert_close(oracle.logits(images), out.detach())
    assert oracle.labels(images).tolist() == out.argmax(1).tolist()
    directions = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    for r in range(2):
        (want,) = torch.autograd.grad((out * directions[:, r]).sum(), x, retain_graph=True)
        torch.testing.assert_close(oracle.gradients(images, directions)[:, r], want)


def test_the_oracle_counts_and_refuses(target):
    oracle = stealing.narrow(target.release, EVERY).oracle
    images = target.release.public_images[:5]
    oracle.labels(images)
    oracle.logits(images)
    oracle.gradients(images, torch.ones(5, 3, 3))
    assert oracle.used == 5 + 5 + 15
    oracle.limit = 30
    oracle.labels(images)
    with pytest.raises(BenchError, match="refuses"):
        oracle.labels(images[:1])
    assert oracle.used == 30
    assert stealing.narrow(target.release, EVERY).oracle.used == 0, "every run has a count of its own"
    with pytest.raises(BenchError, match="other images"):
        stealing.narrow(target.release, EVERY).oracle.labels(torch.zeros(1, 1, 5, 5))
    with pytest.raises(BenchError, match="directions"):
        stealing.narrow(target.release, EVERY).oracle.gradients(images, torch.ones(5, 2))


# --- targets ----------------------------------------------------------------------------------------------------------------------------


def test_the_owner_memorises_and_clean_networks_do_not(target):
    mark = target.secret.watermark
    owner = (mark["owner_planted"] == target.secret.member_labels).double().mean()
    clean = (mark["clean_planted"] == target.secret.member_labels).double().mean()
    assert mark["clean_planted"].shape == (stealing.CLEAN, 10)
    assert stealing.CLEAN >= 20
    assert owner > 0.8
    assert clean < 0.4
    assert float(mark["clean_accuracy"].mean()) > 0.6


def test_a_target_comes_from_the_cache_as_it_was(target, cache):
    [again] = stealing.obtain([setting(seed=0)], cache)
    assert again.id == target.id
    for name, value in target.secret.watermark.items():
        assert torch.equal(again.secret.watermark[name], value), name
    assert all(torch.equal(w, again.release.weights[name]) for name, w in target.release.weights.items())
    [alone] = stealing.obtain([setting(seed=0)], None)
    for name, w in target.release.weights.items():
        torch.testing.assert_close(alone.release.weights[name], w, atol=1e-4, rtol=1e-3)


def test_owners_that_differ_in_the_network_alone_plant_the_same():
    one, two = (stealing._draft(setting(hidden=hidden)).planted for hidden in ([12], [8, 8]))
    assert torch.equal(one.inputs, two.inputs)
    assert torch.equal(one.unplanted_labels, two.unplanted_labels)


def test_a_defence_that_plants_nothing_is_no_watermark():
    with pytest.raises(BenchError, match="plants nothing"):
        stealing.obtain([setting(defense="none", defense_params={})], None)


# --- answers ----------------------------------------------------------------------------------------------------------------------------

NET = Architecture("mlp", (1, 2, 2), (6,), 3, "relu", "all", "ce")


def network(k: int = 0, net: Architecture = NET, **more) -> Network:
    weights = {name: w.float() for name, w in initial_weights(net, None, torch.Generator().manual_seed(k)).items()}
    return Network(net, weights, torch.full(net.input_shape, 0.5), **more)


def release_of(target):
    return dataclasses.replace(stealing.narrow(target.release, EVERY), architecture=NET)


def test_an_answer_is_a_network_that_fits(target):
    mine = release_of(target)
    mine.oracle.used = 7
    answer = stealing.check_answer(network(loss=0.5), mine)
    assert (answer.used, answer.loss) == (7, 0.5)
    good = network()
    wrong = {
        "no network": torch.zeros(3),
        "other inputs or outputs": network(net=dataclasses.replace(NET, outputs=4)),
        "do not fit the architecture": good._replace(weights={**good.weights, "more": torch.zeros(1)}),
        "mean_image": good._replace(mean_image=torch.zeros(3)),
        "finite": good._replace(weights={name: w * np.inf for name, w in good.weights.items()}),
    }
    for what, answer in wrong.items():
        with pytest.raises(AttackFault, match=what):
            stealing.check_answer(answer, mine)


def test_what_is_kept_comes_back(tmp_path):
    from bench.engine.cell import keep, kept

    one = stealing.rounded(network(loss=0.25, used=12))
    keep(tmp_path, "cell", one, "stealing")
    back = kept(tmp_path, "cell", "stealing")
    assert stealing.alike(one, back, 0.0)
    assert (back.architecture, back.loss, back.used) == (NET, 0.25, 12)
    assert torch.equal(back.mean_image, one.mean_image)


def test_of_a_sweep_the_run_that_fitted_best_is_submitted():
    runs = [network(0, loss=0.3), network(1, loss=0.1), network(2, loss=0.2)]
    assert stealing.pool(runs) is runs[1]
    assert stealing.pool([r._replace(loss=None) for r in runs]).weights is runs[0].weights
    with pytest.raises(BenchError, match="no runs"):
        stealing.pool([])


# --- scores -----------------------------------------------------------------------------------------------------------------------------


def identity(n: int = 3) -> Network:
    """A network whose class is the brightest of the first three of four pixels."""
    net = Architecture("mlp", (1, 2, 2), (4,), n, "relu", "all", "ce")
    weights = {
        "layers.0.weight": torch.eye(4), "layers.0.bias": torch.zeros(4),
        "layers.1.weight": torch.eye(4)[:n], "layers.1.bias": torch.zeros(n),
    }  # fmt: skip
    return Network(net, weights, torch.zeros(1, 2, 2), used=30)


def secret_with(labels: list[int], clean: list[list[int]]) -> Secret:
    """Planted inputs whose brightest pixel is 0, 1, 2, 0, 1, 2 …, the labels that were planted, and what clean networks answer."""
    n = len(labels)
    images = torch.eye(4)[torch.arange(n) % 3].reshape(n, 1, 2, 2)
    planted = Planted(images, torch.tensor(labels), images, torch.tensor([(k + 1) % 3 for k in range(n)]))
    mark = {
        "test": images, "test_labels": torch.arange(n) % 3, "owner_test": torch.zeros(n, dtype=torch.long),
        "owner_planted": torch.tensor(labels), "clean_planted": torch.tensor(clean), "clean_unplanted": torch.tensor(clean),
        "clean_accuracy": torch.tensor([0.5, 0.7]),
    }  # fmt: skip
    return Secret(*planted, watermark=mark)


def test_scores_are_shares_that_can_be_counted_by_hand():
    secret = secret_with([0, 1, 2, 1, 1, 1], [[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]] * 10)
    row, images = stealing.score(identity(), secret, bootstrap_seed=0)
    assert images == []
    assert row["planted_transfer"] == pytest.approx(4 / 6)  # answers 0 1 2 0 1 2
    assert row["planted_transfer_clean"] == pytest.approx((1 / 6 + 4 / 6) / 2)
    assert row["planted_transfer_controls"] == 0
    assert row["transfer_excess"] == pytest.approx(4 / 6 - 5 / 12)
    assert row["transfer_excess_lo"] <= row["transfer_excess"] <= row["transfer_excess_hi"]
    assert row["transfer_excess_controls"] == pytest.approx(4 / 6)
    assert row["thief_accuracy"] == 1
    assert row["agreement"] == pytest.approx(1 / 3)
    assert row["planted_owner"] == 1
    assert row["queries_used"] == 30
    assert row["clean_accuracy"] == pytest.approx(0.6)
    assert row["watermark_p"] == pytest.approx(11 / 21), "ten clean networks have as many hits"
    assert row["watermark_tpr"] == 0


@pytest.mark.parametrize(("above", "tpr", "p"), [(0, 1.0, 1 / 21), (1, 1.0, 2 / 21), (2, 0.0, 3 / 21)])
def test_the_owners_claim_is_a_rank_among_clean_networks(above, tpr, p):
    """At a false positive rate of 5 %, one of twenty may be taken for a copy."""
    planted = [0, 1, 2, 0, 1, 1]  # the copy has five of six
    clean = [planted if k < above else [2, 2, 0, 2, 2, 2] for k in range(20)]
    row, _ = stealing.score(identity(), secret_with(planted, clean), bootstrap_seed=0)
    assert (row["watermark_tpr"], row["watermark_p"]) == (tpr, pytest.approx(p))


def test_the_track_has_what_the_engine_asks_for():
    names = [
        "obtain",
        "ungrantable",
        "narrow",
        "check_answer",
        "alike",
        "rounded",
        "pack",
        "unpack",
        "pool",
        "score",
        "secret_of",
        "fingerprint",
    ]
    for track in map(tracks.get, tracks.NAMES):
        assert all(callable(getattr(track, name)) for name in names), track.__name__
        assert isinstance(track.STACKS, bool)
