"""Ranks among look-alikes: uniform for whoever knows nothing, 1 for whoever is right; and the margin test beside them."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import registry, tracks
from bench.api import Candidates, Setting
from bench.data.duplicates import hashes
from bench.data.split import split
from bench.metrics.intervals import auc
from bench.store import to_table
from bench.targets.margin import membership_auc
from bench.tracks.membership.candidates import order
from bench.tracks.reconstruction import Secret
from bench.tracks.reconstruction.ranks import ranks
from bench.tracks.reconstruction.work import levelled, rounded, score, secret_of

PLANTED = {"kind": "other_data", "source": "photo_tiles", "count": 100}
SETS = ("lfw_faces", "photo_tiles")


@functools.lru_cache(maxsize=12)
def drawn(dataset: str, seed: int, n_per_class: int = 5) -> tuple[Secret, torch.Tensor]:
    """The secret of a setting, and public images."""
    setting = Setting(dataset=dataset, n_per_class=n_per_class, seed=seed)
    return secret_of(setting), torch.from_numpy(split(registry.resolve_data(dataset).load(), setting).public)


def random(n: int, seed: int, shape: tuple[int, int, int] = (3, 4, 4)) -> torch.Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def judge(images: torch.Tensor, secret: Secret) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return score(rounded(Candidates(images)), secret, bootstrap_seed=0, thumbnails=False)


# --- properties --------------------------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(2, 30), st.integers(1, 12), st.integers(0, 2**31))
def test_of_an_answer_without_information_every_rank_is_as_likely(pool: int, candidates: int, seed: int) -> None:
    """Each image of a pool in turn is the true one, the others are its look-alikes: every rank from 1 to the last comes up once."""
    images, found = random(pool, seed), random(candidates, seed + 1)
    each = [int(ranks(images[[i]], images[torch.arange(pool) != i], found)) for i in range(pool)]
    assert sorted(each) == list(range(1, pool + 1))


@settings(max_examples=10)
@given(st.sampled_from(SETS), st.integers(100, 104), st.floats(0.3, 1), st.floats(-0.2, 0.2), st.integers(0, 9), st.integers(0, 2**31))
def test_exact_members_are_at_rank_1_at_any_contrast_and_with_whatever_beside_them(
    dataset: str, seed: int, contrast: float, offset: float, more: int, stream: int
) -> None:
    secret, public = drawn(dataset, seed)
    assert secret.lookalikes is not None
    told = torch.cat([secret.members * contrast + offset, public[:more]])
    told = told[torch.randperm(len(told), generator=torch.Generator().manual_seed(stream))]
    assert ranks(secret.members, secret.lookalikes, told).tolist() == [1] * 10


@settings(max_examples=20)
@given(st.integers(1, 8), st.integers(1, 20), st.integers(1, 12), st.integers(0, 2**31))
def test_no_order_matters_and_no_image_tells_of_another(n: int, lookalikes: int, candidates: int, seed: int) -> None:
    images, others, found = random(n, seed), random(lookalikes, seed + 1), random(candidates, seed + 2)
    g = torch.Generator().manual_seed(seed)
    mix = [torch.randperm(k, generator=g) for k in (n, lookalikes, candidates)]
    plain = ranks(images, others, found)
    assert ((plain >= 1) & (plain <= lookalikes + 1)).all()
    assert torch.equal(ranks(images[mix[0]], others[mix[1]], found[mix[2]]), plain[mix[0]])
    assert torch.equal(ranks(images, others, torch.cat([found, found])), plain), "saying a thing twice"
    assert torch.equal(torch.cat([ranks(one[None], others, found) for one in images]), plain)


@settings(max_examples=10)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**31))
def test_ties_count_against_the_attack(n: int, more: int, seed: int) -> None:
    images, others = random(n, seed), random(more, seed + 1)
    for twins in range(n + 1):
        assert ranks(images, torch.cat([others, images[:twins]]), images).tolist() == [1 + twins] * n, "every twin is as near"
    for flat in (0.0, 0.5, 1.0):
        assert ranks(images, others, torch.full((2, 3, 4, 4), flat)).tolist() == [more + 1] * n, "as far from everything"


def test_the_ranks_by_hand() -> None:
    """Of one channel and three pixels; the candidate rises, and the images do so more or less steadily."""
    rows = {"rising": (0, 5, 10), "nearly": (1, 5, 10), "late": (0, 0, 10), "early": (0, 10, 10), "falling": (10, 5, 0)}
    image = {name: torch.tensor(row).view(1, 1, 1, 3) / 10 for name, row in rows.items()}
    # NCC with `rising`: 1, 0.998, 0.866 of both, -1
    others = torch.cat([image["nearly"], image["early"], image["falling"]])
    assert [int(ranks(image[name], others, image["rising"])) for name in ("rising", "late", "falling")] == [1, 3, 4]
    both = torch.cat([image["rising"], image["falling"]])
    assert int(ranks(image["late"], others, both)) == 4, "the falling one is offered the second candidate, too"


def test_first_is_who_stands_first_alone_and_the_columns_are_those_of_the_images() -> None:
    """Seven members exactly and three nearly; one look-alike is nearer to a candidate than these three are to theirs."""
    secret, _ = drawn("photo_tiles", 101)
    assert secret.lookalikes is not None
    noise = torch.randn(secret.members.shape, generator=torch.Generator().manual_seed(0)) * secret.members.std((1, 2, 3), keepdim=True)
    told = secret.members + noise * torch.tensor([0.0] * 7 + [0.2] * 3).view(-1, 1, 1, 1)
    likeness = secret.members[:1] + 0.05 * noise[:1]
    row, images = judge(told, replace(secret, lookalikes=torch.cat([secret.lookalikes, likeness])))
    of = {side: [image["rank"] for image in images if image["split"] == side] for side in ("member", "control")}
    assert of["member"] == [1] * 7 + [2] * 3
    assert (row["rank_first"], row["rank_median"]) == (pytest.approx(0.7), 1.0)
    assert row["rank_first_controls"] == pytest.approx(np.mean(np.array(of["control"]) == 1))
    assert row["rank_median_controls"] == pytest.approx(np.median(of["control"]))


# --- who knows nothing, and where look-alikes are few ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dataset", "n_per_class", "lookalikes"), [("lfw_faces", 5, 90), ("lfw_faces", 45, 10), ("photo_tiles", 5, 1000)])
def test_public_images_put_members_and_controls_at_every_rank_alike(dataset: str, n_per_class: int, lookalikes: int) -> None:
    """Over 24 draws: the mean of uniform ranks from 1 to L + 1 is L / 2 + 1; four standard errors, the draws' own."""
    means: dict[str, list[float]] = {"members": [], "controls": []}
    for seed in range(1000, 1024):
        secret, public = drawn.__wrapped__(dataset, seed, n_per_class)
        assert len(secret.lookalikes) == pytest.approx(lookalikes, abs=12)
        blends = (public[:-1] + public[1:])[:20] / 2
        found = ranks(torch.cat([secret.members, secret.controls]), secret.lookalikes, torch.cat([public[:20], blends]))
        for side, own in zip(means, found.double().split(len(secret.members)), strict=True):
            means[side].append(float(own.mean() - 1) / len(secret.lookalikes))
    gap = np.subtract(means["members"], means["controls"])
    for each in (np.subtract(means["members"], 0.5), np.subtract(means["controls"], 0.5), gap):
        assert abs(each.mean()) < 4 * each.std(ddof=1) / len(each) ** 0.5


@pytest.mark.parametrize("dataset", SETS)
def test_controls_of_a_perfect_answer_are_at_chance(dataset: str) -> None:
    found = [judge(drawn(dataset, seed)[0].members, drawn(dataset, seed)[0])[0] for seed in range(100, 110)]
    assert {(row["rank_median"], row["rank_first"]) for row in found} == {(1.0, 1.0)}
    middle = [row["rank_median_controls"] / (row["n_lookalikes"] + 1) for row in found]
    assert 0.35 < np.mean(middle) < 0.65
    assert np.mean([row["rank_first_controls"] for row in found]) < 0.06


# --- columns -----------------------------------------------------------------------------------------------------------------------------


def test_members_and_controls_go_through_the_same_mill() -> None:
    secret, public = drawn("photo_tiles", 100)
    swapped = replace(
        secret, members=secret.controls, controls=secret.members, member_labels=secret.control_labels, control_labels=secret.member_labels
    )
    answer = torch.cat([0.7 * secret.members[:4] + 0.3 * public[:4], public[4:12]])
    (one, rows), (two, mirrored) = judge(answer, secret), judge(answer, swapped)
    for name in ("rank_median", "rank_first"):
        assert (one[name], one[f"{name}_controls"]) == (two[f"{name}_controls"], two[name])
    assert [row["rank"] for row in rows] == [row["rank"] for row in mirrored[10:] + mirrored[:10]]


def test_the_columns_are_those_of_the_ranks_of_submitted_candidates() -> None:
    secret, public = drawn("lfw_faces", 100)
    assert secret.lookalikes is not None
    answer = torch.cat([secret.members[:3], public[:17], secret.members[3:]])  # 20 are submitted
    row, rows = judge(answer, secret)
    kept = rounded(Candidates(answer)).images[:20].float()
    want = [ranks(side, secret.lookalikes, kept) for side in (secret.members, secret.controls)]
    assert [r["rank"] for r in rows] == [float(rank) for side in want for rank in side]
    assert row["rank_first"] == float((want[0] == 1).double().mean()) < 1
    assert row["rank_median"] == np.median(want[0])
    assert row["rank_median_controls"] == np.median(want[1])
    assert row["n_lookalikes"] == len(secret.lookalikes)
    assert to_table([{**rows[0], "cell_id": "0" * 16}], "images").to_pandas()["rank"].tolist() == [int(want[0][0])]


def test_without_look_alikes_there_are_no_ranks_and_all_else_is_the_same() -> None:
    secret, public = drawn("lfw_faces", 100)
    with_them, rows = judge(public[:20], secret)
    for none in (None, secret.members[:0]):
        row, bare = judge(public[:20], replace(secret, lookalikes=none))
        assert row["n_lookalikes"] == 0
        assert "rank_median" not in row
        assert all("rank" not in one for one in bare)
        assert {**with_them, **row} == {**with_them, "n_lookalikes": 0}
        assert [{**one, **other} for one, other in zip(rows, bare, strict=True)] == rows


def test_a_look_alike_is_no_member_nor_control_though_it_be_planted() -> None:
    """Of a watermark whose planted inputs are images of the same set, those are left out."""
    setting = Setting(dataset="photo_tiles", n_per_class=5, defense="memorized_examples", defense_params=PLANTED)
    parts = split(registry.resolve_data("photo_tiles").load(), setting)
    secret = secret_of(setting)
    assert secret.planted
    assert secret.lookalikes is not None
    taken = {*hashes(secret.members.numpy()), *hashes(secret.controls.numpy())}
    assert not taken & set(hashes(secret.lookalikes.numpy()))
    assert len(parts.lookalikes) - 200 <= len(secret.lookalikes) < len(parts.lookalikes)
    assert levelled(secret).lookalikes is None


# --- membership beside it ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{"classes": "binary"}, {"classes": 3, "loss": "ce"}])
def test_the_membership_beside_it_is_what_the_attack_margin_test_has_on_the_same_network(more: dict[str, Any]) -> None:
    setting = Setting(dataset="photo_tiles", n_per_class=4, hidden=(30,), epochs=200, **more)
    target = tracks.get("membership").work.obtain([setting], None, "cpu")[0]
    attack = registry.get("attack", "margin_test")()
    told = attack.reconstruct(target.release, torch.Generator())
    each = torch.empty_like(told)
    each[order(target.secret)] = told
    members, controls = each.double().split(len(target.secret.members))
    assert target.secret.findable["margin_auc"] == pytest.approx(auc(members.numpy(), controls.numpy()), abs=1e-9)
    row, _ = judge(target.secret.members, target.secret)
    assert row["margin_auc"] == target.secret.findable["margin_auc"]


def test_members_on_the_margin_are_told_from_controls_off_it_and_swapped_the_other_way() -> None:
    out = torch.tensor([[1.0], [-1.02], [0.99], [0.2], [-0.1], [0.4]])
    assert membership_auc(out, 3) == 1
    assert membership_auc(out.flip(0), 3) == 0
    assert membership_auc(torch.zeros(6, 1), 3) == 0.5
    assert membership_auc(torch.tensor([[3.0, 1.0, 2.0], [0.0, 1.0, 0.0], [5.0, 5.0, 0.0], [2.0, 1.9, 0.0]]), 2) == 1
