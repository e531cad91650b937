"""An audit in which nothing was learnt is called a leak in one of twenty at most, however few the images and however alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.api import Candidates, Secret
from bench.audit import exchange, scoring
from bench.audit.premises import Premise
from bench.audit.verdict import LEAKS, verdict
from bench.metrics.ssim import ssim_matrix

HOLDS = Premise("holds", True)
SHAPE = (1, 12, 12)


@pytest.fixture(autouse=True)
def _ssim_alone(monkeypatch):
    """No other metric, which the verdict does not hang on."""
    monkeypatch.setattr("bench.tracks.reconstruction.score.measure", lambda a, b, but=(): {"lpips": None})


def alike(n: int, share: float, draw: torch.Generator) -> Tensor:
    """Images of one mould: ``share`` of each is the same in all."""
    mould = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(5))
    return share * mould + (1 - share) * torch.rand(n, *SHAPE, generator=draw)


def copies(n: int, of: int, draw: torch.Generator) -> Tensor:
    """Images that come in groups of near copies."""
    kinds = torch.rand(-(-n // of), *SHAPE, generator=draw)
    return (0.9 * kinds.repeat_interleave(of, 0)[:n] + 0.1 * torch.rand(n, *SHAPE, generator=draw))[torch.randperm(n, generator=draw)]


def audited(n: int, images: str, answer: str, draw: torch.Generator) -> scoring.Judgement:
    """A judgement over n members and n controls, drawn by chance from images of which the answer knows nothing more."""
    pool = {
        "unlike": lambda k: torch.rand(k, *SHAPE, generator=draw),
        "alike": lambda k: alike(k, 0.6, draw),
        "copies": lambda k: copies(k, 4, draw),
    }[images](3 * n)
    seen, other = pool[: 2 * n], pool[2 * n :]
    candidates = {
        "others": lambda: torch.cat([other, other.flip(0)]),
        "mean": lambda: other.mean(0) + 0.02 * torch.rand(2 * n, *SHAPE, generator=draw),
        "some": lambda: seen[torch.randperm(2 * n, generator=draw)[: max(2, n // 2)]],
    }[answer]()
    labels = torch.zeros(n, dtype=torch.long)
    found = scoring.judge("blind", Candidates(candidates), Secret(seen[:n], labels, seen[n:], labels))
    return replace(found, premise=HOLDS)


def leaks(n: int, images: str, answer: str, audits: int) -> int:
    draw = torch.Generator().manual_seed(1000 + n)
    return sum(verdict([audited(n, images, answer, draw)], truth=True).outcome == LEAKS for _ in range(audits))


# audits of which so many may leak; a chance of 0.05 gives more in fewer than one of a hundred such tests
MOST = {8: 2, 20: 4, 40: 6}


@pytest.mark.parametrize(
    ("n", "images", "answer", "audits"),
    [
        (5, "alike", "others", 20),
        (5, "alike", "mean", 20),
        (6, "unlike", "some", 20),
        (10, "copies", "others", 40),
        (20, "alike", "others", 40),
        (50, "alike", "mean", 20),
        (200, "alike", "mean", 8),
    ],
)
def test_who_knows_nothing_is_rarely_said_to_leak(n, images, answer, audits):
    assert leaks(n, images, answer, audits) <= MOST[audits]


@pytest.mark.parametrize("n", [5, 20, 200])
def test_who_brings_the_members_is_said_to_leak(n):
    pool = torch.rand(2 * n, *SHAPE, generator=torch.Generator().manual_seed(n))
    labels = torch.zeros(n, dtype=torch.long)
    found = scoring.judge("all", Candidates(pool[:n]), Secret(pool[:n], labels, pool[n:], labels))
    others = [replace(found, name=f"other{i}", premise=HOLDS) for i in range(6)]
    assert verdict(others, truth=True).outcome == LEAKS, "the best of six attacks, at five members"
    assert found.p_value == pytest.approx(1 / 252 if n == 5 else 1 / 1000)


def test_likeness_is_computed_once_and_is_that_of_the_protocol(monkeypatch):
    """For the score and for the exchange of members and controls."""
    from bench.tracks import reconstruction
    from bench.tracks.reconstruction.score import score

    calls = []
    monkeypatch.setattr(scoring, "ssim_matrix", lambda a, b: (calls.append(len(b)), ssim_matrix(a, b))[1])
    pool = torch.rand(20, *SHAPE, generator=torch.Generator().manual_seed(3))
    labels, loud = torch.zeros(10, dtype=torch.long), 1.2 * torch.cat([pool[:6], pool[12:]])
    found = scoring.judge("once", Candidates(loud), Secret(pool[:10], labels, pool[10:], labels), submit=9)
    known = reconstruction.Secret(pool[:10], labels, pool[10:], labels)
    row, images = score(Candidates(loud), known, bootstrap_seed=0, n_submit=9)
    assert calls == [14]
    assert found.row is not None
    for name in ("recall_members", "recall_controls", "oracle_recall_members", "oracle_recall_controls", "ssim_median", "precision"):
        assert found.row[name] == pytest.approx(row[name], abs=1e-6), name
    assert [one["ssim"] for one in found.images] == pytest.approx([one["ssim"] for one in images], abs=1e-5)


def chance(hits: list[int], members: int, classes: list[int]) -> float:
    """Of images of which some came back exactly, the first ones members."""
    n = len(hits)
    similarity = torch.eye(n)[:, torch.tensor(hits).nonzero().flatten()]
    return exchange.p_value(similarity, torch.arange(n) < members, torch.tensor(classes), np.random.default_rng(0))


def test_the_chance_is_the_share_of_all_ways_to_call_as_many_members():
    assert chance([1, 1, 1, 0, 0, 0], 3, [0] * 6) == pytest.approx(1 / 20)
    assert chance([1, 1, 0, 1, 0, 0], 3, [0] * 6) == pytest.approx(10 / 20), "two of three hits among the members, or three"
    assert chance([0, 0, 0, 1, 1, 1], 3, [0] * 6) == 1.0
    assert chance([0, 0, 0, 0, 0, 0], 3, [0] * 6) == 1.0


def test_images_are_exchanged_within_their_class_where_both_sides_have_the_same_classes():
    assert chance([1, 1, 1, 1, 0, 0, 0, 0], 4, [0, 0, 1, 1, 0, 0, 1, 1]) == pytest.approx(1 / 36)
    assert chance([1, 1, 1, 1, 0, 0, 0, 0], 4, [0, 0, 1, 1, 0, 0, 0, 0]) == pytest.approx(1 / 70), "the controls have no labels"


def test_one_image_that_stands_for_all_is_one_draw():
    """All candidates are nearest to one image and like all others: where it goes, all hits go."""
    similarity = torch.full((40, 40), 0.6)
    similarity[0] = 0.7
    p = exchange.p_value(similarity, torch.arange(40) < 20, torch.zeros(40, dtype=torch.long), np.random.default_rng(0))
    assert 0.3 < p < 0.8  # twenty hits against none, and a coin's chance
