"""The standing cross-check: what the next seed's members score with the very same answers, and that it agrees with the controls."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from bench import registry, seeds
from bench.api import Candidates, Setting
from bench.tracks.reconstruction import Secret
from bench.tracks.reconstruction.targets import obtain, secret_of
from bench.tracks.reconstruction.work import check_answer, narrow, score


def images(n: int, seed: int) -> torch.Tensor:
    return torch.rand(n, 1, 24, 24, generator=torch.Generator().manual_seed(seed))


def secret() -> Secret:
    labels = torch.arange(4) % 2
    return Secret(images(4, 1), labels, images(4, 2), labels, other=images(3, 3))


def row_of(candidates: torch.Tensor, known: Secret, **more: Any) -> dict[str, Any]:
    return score(Candidates(candidates), known, bootstrap_seed=0, thumbnails=False, **more)[0]


def test_the_share_of_the_next_seeds_members_by_hand() -> None:
    known = secret()
    assert known.other is not None
    row = row_of(torch.cat([known.other[:2], known.members]), known)
    assert (row["cross_recall"], row["n_cross"]) == (pytest.approx(2 / 3), 3)
    assert row["recall_members"] == 1


def test_one_answer_matches_one_of_them() -> None:
    known = secret()
    twins = dataclasses.replace(known, other=images(1, 3).expand(3, -1, -1, -1).clone())
    assert row_of(images(1, 3), twins)["cross_recall"] == pytest.approx(1 / 3)


def test_what_was_not_submitted_does_not_count() -> None:
    known = secret()
    assert known.other is not None
    row = row_of(torch.cat([known.members[:1], known.controls, known.other]), known, n_submit=2)
    assert row["cross_recall"] == 0
    assert (row["oracle_recall_members"], row["oracle_recall_controls"]) == (0.25, 1)


def test_it_changes_no_other_column() -> None:
    known = secret()
    mixed = torch.cat([0.6 * known.members + 0.4 * known.controls, known.controls[:2], images(5, 9)])
    alone = row_of(mixed, dataclasses.replace(known, other=None), n_submit=3)
    beside = row_of(mixed, known, n_submit=3)
    assert set(beside) - set(alone) == {"cross_recall", "n_cross"}
    for name, value in alone.items():
        assert beside[name] == (pytest.approx(value, abs=1e-6) if isinstance(value, float) else value)


def test_a_source_without_images_left_has_no_cross_check() -> None:
    known = secret()
    assert "cross_recall" not in row_of(known.members, dataclasses.replace(known, other=known.controls[:0]))


def test_over_many_draws_it_agrees_with_the_controls() -> None:
    """A null beside a null: the mean over cells of cross_recall − control recall is 0 to within its error, also of an attack that submits
    public images, whom half of the next seed's members would be, were they not passed over."""
    setting = Setting(dataset="lfw_faces", n_per_class=10, hidden=(4,), epochs=1)
    attack = registry.get("attack", "heldout_images")(per_member=2)
    apart = []
    for target in obtain([setting.model_copy(update={"seed": seed}) for seed in range(100, 108)]):
        release = narrow(target.release, type(attack).needs)
        answer = check_answer(attack.reconstruct(release, seeds.generator("test", target.setting.seed)), release)
        row = score(answer, target.secret, bootstrap_seed=0, thumbnails=False)[0]
        assert row["n_cross"] == 20
        apart.append(row["cross_recall"] - row["recall_controls"])
    error = np.std(apart, ddof=1) / len(apart) ** 0.5
    assert error < 0.08
    assert abs(np.mean(apart)) < 3 * error


def test_scoring_again_draws_the_same() -> None:
    setting = Setting(dataset="lfw_faces", n_per_class=3, hidden=(4,), epochs=1)
    drawn = secret_of(setting).other
    assert drawn is not None
    assert torch.equal(drawn, obtain([setting])[0].secret.other)
