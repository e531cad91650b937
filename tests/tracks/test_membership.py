"""The track ``membership``: the order of the candidates, what is refused of answers, and scores and attacks whose values are known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from attacks.loss_test import LossTest, losses
from attacks.margin_test import MarginTest, sizes
from attacks.mean_distance import MeanDistance
from attacks.random_scores import RandomScores
from bench.api import Architecture, Secret, Setting
from bench.cli import main
from bench.errors import AttackFault, BenchError
from bench.report.aggregate import aggregate
from bench.store import load_results, to_table
from bench.targets.losses import loss_targets, loss_value
from bench.tracks.membership import Release
from bench.tracks.membership.answer import Scores
from bench.tracks.membership.candidates import beside, order
from bench.tracks.membership.work import check_answer, narrow, obtain, pack, pool, score, secret_of, unpack
from bench.tracks.reconstruction import Release as Network
from bench.tracks.reconstruction import work as reconstruction

SHAPE = (1, 2, 2)
SMALL = Setting(n_per_class=4, hidden=(8,), epochs=5)


def secret(n: int = 4, controls: int = 4, seed: int = 0) -> Secret:
    generator = torch.Generator().manual_seed(seed)
    members, others = torch.rand(n, *SHAPE, generator=generator), torch.rand(controls, *SHAPE, generator=generator)
    return Secret(members, torch.arange(n) % 2, others, torch.arange(controls) % 2)


def answer(secret: Secret, members: list[float], controls: list[float]) -> Scores:
    """Scores said side by side, in the order of the candidates."""
    return Scores(torch.tensor([*members, *controls], dtype=torch.float64)[order(secret)])


def first_pixel(weights: Any, x: Tensor) -> Tensor:
    return weights["scale"] * x.flatten(1)[:, :1]


def known_outputs(values: list[float], labels: list[int], loss: str = "bce") -> Release:
    """A network whose output at candidate i is ``values[i]``."""
    images = torch.zeros(len(values), *SHAPE)
    images[:, 0, 0, 0] = torch.tensor(values)
    return Release(
        architecture=Architecture("mlp", SHAPE, (4,), 1, "relu", "first", loss),
        n_train=len(values) // 2,
        weights={"scale": torch.ones(())},
        forward=first_pixel,
        images=images + 0.5,
        labels=torch.tensor(labels),
        mean_image=torch.full(SHAPE, 0.5),
    )


# --------------------------------------------------------------------------------------------------------------- candidates


def test_the_order_of_the_candidates_is_the_same_whichever_of_them_are_members():
    one = secret(30, 30)
    other = Secret(one.controls, one.control_labels, one.members, one.member_labels)
    mixed = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    network = reconstruction.example(Architecture("mlp", SHAPE, (4,), 1, "relu", "first", "bce"), 1)[0]
    assert isinstance(network, Network)
    lists = [beside(network, s) for s in (one, other, replace(one, members=one.members[mixed], member_labels=one.member_labels[mixed]))]
    assert all(torch.equal(lists[0].images, those.images) and torch.equal(lists[0].labels, those.labels) for those in lists)
    is_member = order(one) < 30
    assert 0 < int(is_member[:30].sum()) < 30, "members stand together"


def test_labels_stay_with_their_images_and_every_image_is_there_once():
    one = secret(5, 7)
    network = reconstruction.example(Architecture("mlp", SHAPE, (4,), 1, "relu", "first", "bce"), 1)[0]
    found = beside(network, one)
    pairs = sorted((image.flatten().tolist(), int(label)) for image, label in zip(found.images, found.labels, strict=True))
    images, labels = torch.cat([one.members, one.controls]), torch.cat([one.member_labels, one.control_labels])
    assert pairs == sorted((image.flatten().tolist(), int(label)) for image, label in zip(images, labels, strict=True))


def test_targets_are_those_of_reconstruction_and_scoring_later_finds_the_same_members():
    [mine], [theirs] = obtain([SMALL]), reconstruction.obtain([SMALL])
    assert mine.id == theirs.id
    assert all(torch.equal(mine.release.weights[name], w) for name, w in theirs.release.weights.items())
    assert len(mine.release.images) == 16
    again = secret_of(SMALL)
    assert torch.equal(order(again), order(mine.secret))
    assert torch.equal(torch.cat([again.members, again.controls])[order(again)], mine.release.images)
    narrowed = narrow(mine.release, frozenset({"final_weights"}))
    assert not hasattr(narrowed, "mean_image")
    assert narrowed.images.data_ptr() != mine.release.images.data_ptr()


# ------------------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([0.0] * 4, "no tensor"),
        (torch.zeros(4, dtype=torch.int64), "wrong kind"),
        (torch.zeros(3), "wrong number"),
        (torch.zeros(4, 1), "wrong number"),
        (torch.tensor([0.0, math.nan, 1.0, math.inf]), "2 of 4"),
    ],
)
def test_what_is_no_score_for_each_candidate_is_refused(wrong, words):
    with pytest.raises(AttackFault) as refused:
        check_answer(wrong, known_outputs([0.0] * 4, [0, 1, 0, 1]))
    assert words in str(refused.value) + str(refused.value.got)


def test_an_answer_is_kept_as_it_is_scored():
    given = check_answer(torch.tensor([1e-30, 0.1, -2.0, 3.0], requires_grad=True), known_outputs([0.0] * 4, [0, 1, 0, 1]))
    tensors, facts = pack(given)
    again = unpack(tensors, json.loads(json.dumps(facts)))
    assert torch.equal(again.scores, given.scores)
    assert not given.scores.requires_grad


def test_runs_are_pooled_by_rank_so_that_their_scales_do_not_matter():
    one, other = Scores(torch.tensor([1e6, 0.0, 1.0]).double()), Scores(torch.tensor([0.1, 0.3, 0.1]).double())
    assert pool([one, other]).scores.tolist() == [(2.5 + 1) / 2, (0.5 + 2.5) / 2, (1.5 + 1) / 2]
    assert pool([one]) is one
    with pytest.raises(BenchError, match="no runs"):
        pool([])


# -------------------------------------------------------------------------------------------------------------------- scores


def test_the_auc_by_hand():
    of = secret(3, 2)
    row, images = score(answer(of, [3.0, 1.0, 0.5], [1.0, 0.0]), of, bootstrap_seed=1)
    # against 1.0: win, tie, loss; against 0.0: three wins
    assert row["membership_auc"] == pytest.approx((1 + 0.5 + 0 + 3) / 6)
    assert row["membership_tpr"] == pytest.approx(1 / 3)  # of two controls none may be above the threshold
    assert (row["n_members"], row["n_controls"]) == (3, 2)
    assert row["membership_auc_lo"] <= row["membership_auc"] <= row["membership_auc_hi"]
    assert [(r["split"], r["index"], r["label"], r["membership_score"]) for r in images] == [
        ("member", 0, 0, 3.0), ("member", 1, 1, 1.0), ("member", 2, 0, 0.5), ("control", 0, 0, 1.0), ("control", 1, 1, 0.0),
    ]  # fmt: skip
    to_table([{**r, "cell_id": "0" * 16} for r in images], "images")


def test_one_control_of_a_hundred_may_be_above_the_threshold_and_no_more():
    of = secret(4, 100)
    low = [0.0] * 98
    assert score(answer(of, [2.0, 2.0, 0.5, -1.0], [9.0, 1.0, *low]), of, bootstrap_seed=1)[0]["membership_tpr"] == 0.5
    assert score(answer(of, [2.0, 2.0, 0.5, -1.0], [9.0, 9.0, *low]), of, bootstrap_seed=1)[0]["membership_tpr"] == 0.0


def test_a_perfect_scorer_has_auc_1_a_contrary_one_0_and_a_random_one_about_a_half():
    of = secret(200, 200)
    perfect = answer(of, [1.0] * 200, [0.0] * 200)
    assert score(perfect, of, bootstrap_seed=1)[0]["membership_auc"] == 1
    assert score(Scores(-perfect.scores), of, bootstrap_seed=1)[0]["membership_auc"] == 0
    release = known_outputs([0.0] * 400, [0] * 400)
    drawn = check_answer(RandomScores().reconstruct(release, torch.Generator().manual_seed(0)), release)
    assert score(drawn, of, bootstrap_seed=1)[0]["membership_auc"] == pytest.approx(0.5, abs=0.1)


def test_scores_that_do_not_fit_are_refused():
    with pytest.raises(BenchError, match="do not fit"):
        score(Scores(torch.zeros(7).double()), secret(), bootstrap_seed=1)


# ------------------------------------------------------------------------------------------------------------------- attacks


def test_the_margin_test_ranks_by_the_distance_to_the_common_margin_whatever_the_labels():
    outputs = [2.0, -2.0, 2.1, -1.9, 0.1, -0.2, 0.0, 5.0]  # half of them at the margin 2, on both sides
    found = MarginTest().reconstruct(known_outputs(outputs, [0] * 8), torch.Generator())
    # the larger half is 5, 2.1, 2, 2; its lower median 2
    assert found.tolist() == pytest.approx([0, 0, -0.1, -0.1, -1.9, -1.8, -2, -3], abs=1e-5)
    assert torch.equal(found, MarginTest().reconstruct(known_outputs(outputs, [1] * 8), torch.Generator()))


def test_the_size_of_several_outputs_is_the_largest_less_the_next():
    assert sizes(torch.tensor([[1.0, 5.0, 3.0], [0.0, -1.0, -4.0]])).tolist() == [2, 1]
    assert sizes(torch.tensor([[-3.0], [2.0]])).tolist() == [3, 2]


def test_the_loss_test_scores_by_the_loss_under_the_label():
    found = LossTest().reconstruct(known_outputs([2.0, 2.0, -1.0, 0.0], [1, 0, 0, 1]), torch.Generator())
    wanted = [-math.log1p(math.exp(-z)) for z in (2.0, -2.0, 1.0, 0.0)]  # by y·f(x)
    assert found.tolist() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(("loss", "outputs"), [("bce", 1), ("ce", 3), ("mse", 1), ("mse", 3), ("huber", 1), ("huber", 3)])
def test_its_mean_is_the_loss_that_networks_are_trained_by(loss, outputs):
    generator = torch.Generator().manual_seed(0)
    out = 3 * torch.randn(6, outputs, generator=generator, dtype=torch.float64)
    labels = torch.arange(6) % max(2, outputs)
    assert float(losses(loss, out, labels).mean()) == pytest.approx(float(loss_value(loss, out, loss_targets(loss, labels, outputs))))


def test_the_distance_to_the_mean_needs_no_network():
    release = replace(known_outputs([3.0, -1.0], [0, 1]), weights={"scale": torch.tensor(math.nan)})
    assert MeanDistance().reconstruct(release, torch.Generator()).tolist() == pytest.approx([-3, -1])


def test_members_of_a_network_that_knows_them_by_heart_are_found():
    setting = Setting(n_per_class=10, hidden=(50,), epochs=600, init_scale=None, lr=0.1)
    [target] = obtain([setting])
    auc = {}
    for attack in (LossTest(), MarginTest()):
        release = narrow(target.release, attack.needs)
        found = check_answer(attack.reconstruct(release, torch.Generator()), release)
        auc[attack.name] = score(found, target.secret, bootstrap_seed=1)[0]["membership_auc"]
    assert min(auc.values()) > 0.6, auc


# ---------------------------------------------------------------------------------------------------------------------- page


GRID = """
name: members
question: Which images were trained on?
base: {dataset: photo_tiles, n_per_class: 40, hidden: [50], lr: 0.1}
axes:
  start:
    - {label: small, set: {init_scale: 1.0e-4}}
    - {label: default, set: {init_scale: null}}
  epochs: [1, 400]
seeds: 3
attacks: [loss_test, {name: random_scores}]
"""


def test_a_run_scores_and_its_page_says_where_members_are_told_and_which_axes_matter(tmp_path, monkeypatch):
    monkeypatch.setenv("RECONBENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "members.yaml").write_text(GRID)
    assert main(["run", "--grid", str(tmp_path / "members.yaml"), "--out", str(tmp_path / "results"), "--json"]) == 0
    scores, images = load_results(tmp_path / "results")
    assert set(scores["status"]) == {"ok"}
    assert scores["membership_auc"].between(0, 1).all()
    assert len(images) == 24 * 160
    assert images["membership_score"].notna().all()
    mean = scores.groupby(["attack", "epochs"])["membership_auc"].mean()
    assert mean["loss_test", 400] > mean["loss_test", 1]
    page = (tmp_path / "results" / "members.md").read_text(encoding="utf-8")
    told = [g for g in aggregate(scores, images) if g.attack == "loss_test" and g.excess.low > 0.5]
    assert 0 < len(told) < 4
    line = f"- loss_test: **yes** at {len(told)} of 4 settings ({'; '.join(g.label for g in told)})."
    for words in ("### Are members told from controls?", line, "membership AUC [95 % CI]", "found at 1 % FPR"):
        assert words in page, words
    for words in ("- loss_test, start small → default: ", "- loss_test, epochs 1 → 400: ", "of 2 settings"):
        assert words in page.partition("### Do the axes matter?")[2].partition("###")[0], words
    assert main(["score", "--grid", "members", "--out", str(tmp_path / "results")]) == 0
    again, _ = load_results(tmp_path / "results")
    assert again.set_index("cell_id")["membership_auc"].sort_index().equals(scores.set_index("cell_id")["membership_auc"].sort_index())
