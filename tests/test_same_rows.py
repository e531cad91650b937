"""The comparison of rows that other tests lean on: blind to rounding, and to nothing else."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from same_rows import differing


def rows(**changes) -> pd.DataFrame:
    one = {"cell_id": "a", "dtype": "float64", "attack": "x", "n_members": 8, "recall_members": 0.5, "attack_loss": 0.03, "reason": None,
           "sweep_runs": '[{"run": 0, "loss": 0.25, "members": 3}]', "seconds_attack": 1.0, "auc": float("nan")}  # fmt: skip
    return pd.DataFrame([{**one, "cell_id": "b"}, {**one, **changes}])


@pytest.mark.parametrize(
    "change",
    [
        {"attack_loss": 0.03 * (1 + 1e-8)}, {"recall_members": 0.500001}, {"seconds_attack": 2.0},
        {"sweep_runs": '[{"run": 0, "loss": 0.250000001, "members": 3}]'},
    ],
)  # fmt: skip
def test_rounding_and_costs_are_no_difference(change):
    assert differing(rows(), rows(**change).iloc[::-1]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"attack_loss": 0.03 * (1 + 1e-5)}, {"recall_members": 0.625}, {"n_members": 9}, {"attack": "y"}, {"auc": 0.5}, {"reason": "why"},
        {"sweep_runs": '[{"run": 0, "loss": 0.26, "members": 3}]'}, {"sweep_runs": '[{"run": 0, "loss": 0.25, "members": 4}]'},
    ],
)  # fmt: skip
def test_all_else_is(change):
    [found] = differing(rows(), rows(**change))
    assert found.startswith(f"{next(iter(change))} of a: ")


def test_other_rows_are_a_difference():
    assert differing(rows(), rows(cell_id="c"))
    assert differing(rows(), rows().iloc[:1])


def test_thumbnails_may_differ_by_a_level():
    def shown(value: int, side: int = 4) -> pd.DataFrame:
        buffer = io.BytesIO()
        Image.fromarray(np.full((side, side), value, np.uint8)).save(buffer, format="PNG")
        return pd.DataFrame([{"cell_id": "a", "split": "member", "index": 0, "ssim": 0.5, "recon_png": buffer.getvalue()}])

    assert differing(shown(7), shown(8)) == []
    for other in (shown(9), shown(7, side=5), shown(7).assign(recon_png=None)):
        [found] = differing(shown(7), other)
        assert found.startswith("recon_png of a member 0: ")


def test_a_rank_may_pass_a_neighbour_and_no_more():
    def ranked(rank: int | None) -> pd.DataFrame:
        return pd.DataFrame([{"cell_id": "a", "split": "member", "index": 0, "rank": rank}])

    assert differing(ranked(7), ranked(9)) == []
    assert differing(ranked(7), ranked(30), pixels=5e-3) == []
    for other in (10, None):
        [found] = differing(ranked(7), ranked(other))
        assert found.startswith("rank of a member 0: ")
