"""Rows of a watermarked network: which image was planted, whether its label was learnt, and that other rows are as they were."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from bench.api import Candidates
from bench.store import to_table
from bench.tracks.reconstruction import Secret
from bench.tracks.reconstruction.work import score


def images(n: int, seed: int) -> torch.Tensor:
    return torch.rand(n, 1, 12, 12, generator=torch.Generator().manual_seed(seed))


def watermarked() -> Secret:
    """Six members of which the last two are planted, one of them learnt; five controls of which one is an unplanted input."""
    return Secret(
        images(6, 1),
        torch.tensor([0, 1, 0, 1, 1, 0]),
        images(5, 2),
        torch.tensor([0, 1, 0, 1, 1]),
        stationarity={
            "member_margin": torch.tensor([1.0, 2, 3, 4, 0.5, -0.1]),
            "control_margin": torch.ones(5),
            "multiplier": torch.arange(6.0),
        },
        planted={"member": torch.arange(6) > 3, "control": torch.arange(5) > 3},
        mean_image=images(6, 1)[:4].mean(0),
    )


def rows_of(secret: Secret) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    row, rows = score(Candidates(secret.members.clone()), secret, bootstrap_seed=1)
    return row, [{**one, "cell_id": "0" * 16} for one in rows]


def test_image_rows_say_which_were_planted() -> None:
    row, rows = rows_of(watermarked())
    table = to_table(rows, "images").to_pandas()
    for split, expected in (("member", [0, 0, 0, 0, 1, 1]), ("control", [0, 0, 0, 0, 1])):
        assert table.loc[table["split"] == split, "planted"].tolist() == expected
    assert (row["n_members"], row["n_controls"]) == (6, 5)
    assert row["planted_owner"] == 0.5
    assert row["recall_members"] == 1.0


def test_without_a_watermark_the_rows_are_as_they_were() -> None:
    secret = watermarked()
    plain = dataclasses.replace(secret, planted={}, mean_image=None)
    row, rows = rows_of(plain)
    assert "planted_owner" not in row
    assert to_table(rows, "images")["planted"].null_count == len(rows)
    marked, _ = rows_of(dataclasses.replace(secret, mean_image=plain.members.mean(0)))
    assert {name: value for name, value in marked.items() if name != "planted_owner"} == row


def test_the_papers_score_subtracts_the_mean_that_the_network_does() -> None:
    """Candidates are compared less that mean: with another mean the papers' numbers come out otherwise, and no others do."""
    secret = watermarked()
    candidates = Candidates((0.5 * secret.members + 0.5 * images(6, 9)).clamp(0, 1))
    own, _ = score(candidates, secret, bootstrap_seed=1)
    _, rows = score(candidates, secret, bootstrap_seed=1)
    _, others = score(candidates, dataclasses.replace(secret, mean_image=None), bootstrap_seed=1)
    _, same = score(candidates, dataclasses.replace(secret, mean_image=secret.members[:4].mean(0)), bootstrap_seed=1)
    papers = [[one["haim_ssim"] for one in part] for part in (rows, others, same)]
    assert papers[0] == papers[2] != papers[1]
    assert [one["ssim"] for one in rows] == [one["ssim"] for one in others]
    assert own["n_submitted"] == 6
