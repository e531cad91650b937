"""The stealing track: what a thief gets and what not, the oracle that counts and refuses, scores of networks known by construction."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bench import registry, seeds, tracks
from bench.api import Architecture, Planted, Setting
from bench.check.handed import holds_any, reachable_tensors
from bench.data.duplicates import hashes
from bench.errors import AttackFault, BenchError
from bench.files import Folder
from bench.schema import to_table
from bench.targets.cache import TargetCache
from bench.targets.models import forward, initial_weights
from bench.targets.train import train_stack
from bench.tracks.stealing import Network, Secret, score, targets
from bench.tracks.stealing import work as stealing
from bench.tracks.stealing.other_images import _resized, other_images

pytestmark = pytest.mark.usefixtures("few_clean_networks")
CLEAN = targets.CLEAN  # in earnest
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
    owner = targets._draft(setting(defense_params={"kind": kind, "count": 10}))
    pool = set(hashes(owner.pool.numpy()))
    secret = [*hashes(owner.planted.inputs.numpy()), *hashes(owner.planted.unplanted.numpy()), *hashes(owner.images.numpy())]
    assert len(pool) == len(owner.pool) > 100
    assert not pool & set(secret)
    test = set(hashes(owner.test.numpy()))
    assert not pool & test


SOURCES = ("held_out", "perturbed", "noise", "other_data")


@pytest.fixture(scope="module", params=["mislabelled", "noise", "other_data", "trigger"])
def planted_so(request):
    """An owner of each kind, trained for an instant: what is asked does not depend on how well it learnt."""
    owner = targets._draft(setting(defense_params={"kind": request.param, "count": 10}))
    weights = {name: w.float() for name, w in initial_weights(owner.net, None, seeds.generator("owner")).items()}
    facts = {"clean_planted": [[0] * 10], "clean_unplanted": [[0] * 10], "clean_accuracy": [0.0]}
    return targets._target(owner, weights, facts, "cpu")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("attack", "params"),
    [("steal_labels", {}), ("steal_gradients", {"smooth": 2}), ("steal_clean_gradients", {})],
    ids=str,
)
def test_planted_inputs_are_in_none_of_the_query_sets(planted_so, source, attack, params):
    cls = registry.get("attack", attack)
    mine = stealing.narrow(planted_so.release, cls.needs)
    cls.lessons([cls(source=source, queries=2500, epochs=1, **params)], [mine], [seeds.generator("thief", source)])
    asked = mine.oracle.asked()
    assert len(asked) > 100
    for inputs in (planted_so.secret.members, planted_so.secret.controls):
        pixels = (inputs * 255).round().to(torch.uint8)
        assert not set(hashes(asked.numpy())) & set(hashes(pixels.numpy()))


@pytest.mark.parametrize("kind", ["mislabelled", "other_data"])
@pytest.mark.parametrize("source", ["lfw_faces", "photo_tiles"])
@pytest.mark.parametrize("dataset", ["photo_patches", "lfw_faces", "photo_tiles"])
def test_the_other_data_set_is_neither_the_owners_nor_that_of_the_planted_inputs(dataset, source, kind):
    classes = "binary" if dataset == "lfw_faces" else 3
    one = setting(dataset=dataset, classes=classes, defense_params={"kind": kind, "count": 10, "source": source})
    owner = targets._draft(one)
    assert owner.others.shape[1:] == owner.images.shape[1:]
    assert len(owner.others) > 100
    assert float(owner.others.min()) >= 0
    assert float(owner.others.max()) <= 1
    barred = {dataset, source} if kind == "other_data" else {dataset}
    for name in barred:
        mine = set(hashes(_resized.__wrapped__(name, tuple(owner.images.shape[1:])).numpy()))
        assert not mine & set(hashes(owner.others.numpy())), name


def test_of_a_set_that_is_all_planted_nothing_is_left():
    """Where every set holds barred images, those are taken out."""
    shape = (1, 8, 8)
    barred = {hashes(_resized(name, shape).numpy())[0] for name in ("lfw_faces", "photo_tiles")}
    left = other_images("photo_patches", shape, barred)
    assert len(left) == len(_resized("lfw_faces", shape)) - 1
    assert not barred & set(hashes(left.numpy()))


def test_a_thief_is_given_no_weights_and_no_planted_input(target):
    mine = stealing.narrow(target.release, EVERY)
    for name in ("weights", "forward", "initial_weights", "mean_image", "known_images"):
        assert not hasattr(mine, name)
    mark = [target.secret.members, target.secret.controls]
    for tensor in reachable_tensors(mine):
        assert not any(holds_any(tensor, images[:3]) for images in mark)


def test_tiers_give_what_they_name(target):
    alone = stealing.narrow(target.release, frozenset({"query_labels"}))
    assert not hasattr(alone, "public_images")
    assert alone.device == alone.oracle.device == target.release.device
    bare = stealing.narrow(target.release, frozenset({"public_images"}))
    assert not hasattr(bare, "oracle")
    assert torch.equal(bare.other_images, target.release.other_images)
    assert not hasattr(bare, "shadow_labels")
    assert bare.device.type == "cpu"
    some = stealing.narrow(target.release, frozenset({"public_images", "query_labels"}))
    images = some.public_images[:4]
    assert some.oracle.labels(images).shape == (4,)
    for ask in (lambda: some.oracle.logits(images), lambda: some.oracle.gradients(images, torch.ones(4, 1, 3))):
        with pytest.raises(BenchError, match="does not answer that"):
            ask()
    assert some.oracle.used == 4, "what is refused is not counted"
    assert "final_weights" in tracks.ungrantable("stealing", frozenset({"final_weights"}))
    with pytest.raises(BenchError, match="needs initial_weights"):
        stealing.narrow(target.release, frozenset({"initial_weights"}))


def test_the_oracle_answers_as_the_owners_network_does(target):
    oracle = stealing.narrow(target.release, EVERY).oracle
    images = target.release.public_images[:5]
    held = target.release.oracle
    x = (images - held._mean).requires_grad_()
    out = forward(target.release.architecture, held._weights, x)
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


def test_the_oracle_takes_down_what_it_was_asked_about(target):
    oracle = stealing.narrow(target.release, EVERY).oracle
    assert oracle.asked() is None
    images = target.release.public_images[:6]
    oracle.logits(images[:4])
    oracle.gradients(images[:4], torch.ones(4, 2, 3))
    oracle.labels(images[2:])
    assert torch.equal(oracle.asked(), (images * 255).round().to(torch.uint8)), "each once, in the order of asking"
    oracle.limit = oracle.used
    with pytest.raises(BenchError, match="refuses"):
        oracle.labels(target.release.public_images[6:8])
    assert len(oracle.asked()) == 6, "what is refused tells nothing"
    assert stealing.narrow(target.release, EVERY).oracle.asked() is None


def test_of_too_many_questions_none_are_kept(target, monkeypatch):
    monkeypatch.setattr("bench.targets.oracle.KEPT", 5)
    oracle = stealing.narrow(target.release, EVERY).oracle
    oracle.labels(target.release.public_images[:5])
    assert len(oracle.asked()) == 5
    oracle.labels(target.release.public_images[5:6])
    assert oracle.asked() is None


# --- targets ----------------------------------------------------------------------------------------------------------------------------


def test_the_owner_memorises_and_clean_networks_do_not(target):
    mark = target.secret.watermark
    owner = (mark["owner_planted"] == target.secret.member_labels).double().mean()
    clean = (mark["clean_planted"] == target.secret.member_labels).double().mean()
    assert mark["clean_planted"].shape == (targets.CLEAN, 10)
    assert owner > 0.8
    assert clean < 0.4
    assert float(mark["clean_accuracy"].mean()) > 0.6


def test_a_target_comes_from_the_cache_as_it_was(target, cache):
    [again] = stealing.obtain([setting(seed=0)], cache)
    assert again.id == target.id
    for name, value in target.secret.watermark.items():
        assert torch.equal(again.secret.watermark[name], value), name
    assert all(torch.equal(w, again.release.oracle._weights[name]) for name, w in target.release.oracle._weights.items())
    [alone] = stealing.obtain([setting(seed=0)], None)
    for name, w in target.release.oracle._weights.items():
        torch.testing.assert_close(alone.release.oracle._weights[name], w, atol=1e-4, rtol=1e-3)


@pytest.fixture
def trainings(monkeypatch):
    """Of each stack that is trained the seeds of its networks; and by their numbers, from 0, stacks that raise something instead."""
    seen, at = [], {}

    def train(net, settings, *rest, **more):
        if len(seen) in at:
            raise at.pop(len(seen))
        seen.append([one.seed for one in settings])
        return train_stack(net, settings, *rest, **more)

    monkeypatch.setattr(targets, "train_stack", train)
    monkeypatch.setattr(targets, "AT_ONCE", {"cpu": 2})
    return seen, at


SHORT = {"epochs": 2, "seed": 5}


def clean_of(cache: TargetCache, name: str) -> dict[str, list]:
    return {key: value for key, value in cache.get(name)[1].items() if key.startswith("clean_")}


def test_an_owner_with_fewer_clean_networks_gets_those_that_it_lacks(tmp_path, monkeypatch, trainings):
    """The owner itself is not trained again, and its first networks stay: more are those that there were, and others."""
    seen, _ = trainings
    cache = TargetCache(tmp_path / "grown")
    monkeypatch.setattr(targets, "CLEAN", 3)
    [few] = stealing.obtain([setting(**SHORT)], cache)
    weights, before = cache.get(few.id)[0], clean_of(cache, few.id)
    assert [len(stack) for stack in seen] == [1, 2, 1], "the owner, and its clean networks"
    seen.clear()
    monkeypatch.setattr(targets, "CLEAN", 6)
    [more] = stealing.obtain([setting(**SHORT)], cache)
    grown = list(seen)
    seen.clear()
    stealing.obtain([setting(**SHORT)], TargetCache(tmp_path / "afresh"))
    flat = [[one for stack in part for one in stack] for part in (grown, seen[1:])]
    assert flat[0] == flat[1][3:], "drawn by their numbers"
    after = clean_of(cache, few.id)
    assert [len(values) for values in after.values()] == [6] * 3
    assert {name: values[:3] for name, values in after.items()} == before
    assert more.id == few.id
    assert all(torch.equal(w, weights[name]) for name, w in cache.get(few.id)[0].items())
    assert torch.equal(more.secret.watermark["clean_planted"], torch.tensor(after["clean_planted"]))
    seen.clear()
    stealing.obtain([setting(**SHORT)], cache)
    assert seen == [], "none is lacking"


def test_owners_that_lack_different_numbers_share_stacks(tmp_path, monkeypatch, trainings):
    seen, _ = trainings
    cache, pair = TargetCache(tmp_path), [setting(epochs=2, seed=5), setting(epochs=2, seed=6)]
    monkeypatch.setattr(targets, "CLEAN", 3)
    stealing.obtain(pair[:1], cache)
    seen.clear()
    monkeypatch.setattr(targets, "CLEAN", 4)
    for one in stealing.obtain(pair, cache):
        assert [len(values) for values in clean_of(cache, one.id).values()] == [4] * 3
    assert [len(stack) for stack in seen] == [1, 2, 2, 1]
    assert len({seed for stack in seen[1:] for seed in stack}) == 5


def test_a_run_that_is_stopped_loses_a_stack_of_clean_networks_at_most(tmp_path, trainings):
    seen, at = trainings
    cache = TargetCache(tmp_path)
    at[3] = KeyboardInterrupt()  # after the owner and two stacks
    with pytest.raises(KeyboardInterrupt):
        stealing.obtain([setting(**SHORT)], cache)
    name = targets._draft(setting(**SHORT)).id
    kept = clean_of(cache, name)
    assert [len(values) for values in kept.values()] == [4] * 3
    seen.clear()
    [one] = stealing.obtain([setting(**SHORT)], cache)
    assert [len(stack) for stack in seen] == [2]
    assert one.secret.watermark["clean_planted"][:4].tolist() == kept["clean_planted"]


def test_clean_networks_that_memory_does_not_hold_together_are_fewer_at_once(tmp_path, trainings):
    seen, at = trainings
    at[1] = torch.OutOfMemoryError("full")
    [one] = stealing.obtain([setting(**SHORT)], TargetCache(tmp_path))
    assert [len(stack) for stack in seen] == [1] * 7, "the owner, and six in stacks of half of two"
    assert one.secret.watermark["clean_planted"].shape == (6, 10)


def test_owners_that_differ_in_the_network_alone_plant_the_same():
    one, two = (targets._draft(setting(hidden=hidden)).planted for hidden in ([12], [8, 8]))
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
    from bench.engine.answers import keep, kept

    one = stealing.rounded(network(loss=0.25, used=12))
    keep(Folder(tmp_path), "cell", one, "stealing")
    back = kept(Folder(tmp_path), "cell", "stealing")
    assert stealing.alike(one, back, 0.0)
    assert (back.architecture, back.loss, back.used) == (NET, 0.25, 12)
    assert torch.equal(back.mean_image, one.mean_image)
    assert back.asked is None
    asked = torch.randint(256, (7, 1, 2, 2), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    keep(Folder(tmp_path), "other cell", stealing.rounded(one._replace(asked=asked)), "stealing")
    again = kept(Folder(tmp_path), "other cell", "stealing")
    assert torch.equal(again.asked, asked)
    assert set(again.weights) == set(one.weights)


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
        "clean_accuracy": torch.tensor([0.5, 0.7]), "gradient_norm": torch.arange(n) / 2, "gradient_norm_controls": torch.arange(n) / 4,
    }  # fmt: skip
    return Secret(*planted, watermark=mark)


def test_scores_are_shares_that_can_be_counted_by_hand():
    secret = secret_with([0, 1, 2, 1, 1, 1], [[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]] * 10)
    row, _ = stealing.score(identity(), secret, bootstrap_seed=0)
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


def test_each_planted_and_unplanted_input_has_a_row():
    secret = secret_with([0, 1, 2, 1, 1, 1], [[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 2]] * 10)
    asked = torch.tensor([[255, 0, 0, 255], [0, 0, 255, 255]], dtype=torch.uint8).reshape(2, 1, 2, 2)
    _, rows = stealing.score(identity()._replace(asked=asked), secret, bootstrap_seed=0)
    to_table([{**row, "cell_id": "c"} for row in rows], "images")
    members, controls = ([row for row in rows if row["split"] == part] for part in ("member", "control"))
    assert [row["index"] for row in members] == [row["index"] for row in controls] == list(range(6))
    assert [row["label"] for row in members] == [0, 1, 2, 1, 1, 1]
    assert [row["transferred"] for row in members] == [1, 1, 1, 0, 1, 0]
    assert [row["transferred"] for row in controls] == [0] * 6
    assert [row["clean_rate"] for row in members] == [0.5, 0.5, 0.0, 0.5, 0.5, 0.0]
    # inputs with pixel 0, 1 or 2 alight, questions with 0 and 3, and 2 and 3: one pixel of four differs, or three
    assert [row["query_distance"] for row in members] == pytest.approx([0.5, 0.75**0.5, 0.5] * 2)
    assert [row["gradient_norm"] for row in members] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert [row["gradient_norm"] for row in controls] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]
    _, rows = stealing.score(identity(), secret, bootstrap_seed=0)
    assert {row["query_distance"] for row in rows} == {None}, "nothing was asked"


def test_distances_are_to_the_nearest_question():
    g = torch.Generator().manual_seed(0)
    inputs, asked = torch.rand(9, 3, 4, 4, generator=g), torch.randint(256, (50, 3, 4, 4), generator=g).to(torch.uint8)
    asked[7] = (inputs[2] * 255).round().to(torch.uint8)
    want = (inputs[:, None].double() - asked.double() / 255).square().flatten(2).mean(2).sqrt().amin(1)
    got = score._nearest(inputs, asked)
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-6)
    assert float(got[2]) < 0.002


@pytest.mark.parametrize("outputs", [1, 3])
def test_steepness_is_the_norm_of_the_leads_gradient(outputs):
    net = dataclasses.replace(NET, outputs=outputs)
    one = network(3, net)
    g = torch.Generator().manual_seed(0)
    inputs, labels = torch.rand(8, 1, 2, 2, generator=g), torch.randint(max(2, outputs), (8,), generator=g)

    def lead(x, label):
        out = forward(net, one.weights, (x - one.mean_image)[None])[0]
        return out[0] if outputs == 1 else out[label] - max(out[k] for k in range(outputs) if k != label)

    for got, x, label in zip(targets._steepness(one, inputs, labels), inputs, labels.tolist(), strict=True):
        changes = [(lead(x + 1e-3 * d, label) - lead(x - 1e-3 * d, label)) / 2e-3 for d in torch.eye(4).reshape(4, 1, 2, 2)]
        assert float(got) == pytest.approx(float(torch.stack(changes).norm()), rel=2e-3)


@pytest.mark.parametrize(
    ("networks", "above", "tpr", "p"),
    [
        (20, 0, 1.0, 1 / 21),
        (20, 1, 1.0, 2 / 21),
        (20, 2, 0.0, 3 / 21),
        (CLEAN, 0, 1.0, 1 / 101),
        (CLEAN, 5, 1.0, 6 / 101),
        (CLEAN, 6, 0.0, 7 / 101),
    ],
)
def test_the_owners_claim_is_a_rank_among_clean_networks(networks, above, tpr, p):
    """One of twenty is 5 %; but to be above all but one of twenty has a chance of 2/21, as the p-value says. Likewise five of a hundred."""
    planted = [0, 1, 2, 0, 1, 1]  # the copy has five of six
    clean = [planted if k < above else [2, 2, 0, 2, 2, 2] for k in range(networks)]
    row, _ = stealing.score(identity(), secret_with(planted, clean), bootstrap_seed=0)
    assert (row["watermark_tpr"], row["watermark_p"], row["n_clean"]) == (tpr, pytest.approx(p), networks)


def test_a_row_says_by_its_protocol_how_many_clean_networks_it_stands_on():
    """Another number, another protocol: rows of v1 stand on 20."""
    assert (tracks.get("stealing").protocol, CLEAN) == ("v2", 100)
