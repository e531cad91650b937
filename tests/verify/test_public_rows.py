"""Which rows blind ones are compared with: of the same grid, line, version of the attack and score protocol, published ones first."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from bench.report.kit.rows import records
from bench.store import to_table
from bench.verify import run

sys.path.append(str(Path(__file__).resolve().parent.parent / "report"))
import fake


@pytest.fixture
def rows() -> pd.DataFrame:
    found, _ = fake.grid("small", "weight_decay", [0.0, 0.01], {"haim_kkt": [0.5, 0.5]}, seeds=3, thumbnails=False)
    return to_table(found, "scores").to_pandas()


def public(monkeypatch, published: pd.DataFrame, local: pd.DataFrame, version: tuple[str, str]) -> tuple[list[int], list[str]]:
    """How many rows each line gets, and which attacks are run for it."""
    ran: list[str] = []

    def runs(loaded, how, progress):
        ran.extend(spec.name for spec in loaded.attacks)
        return None, None

    monkeypatch.setattr(run, "load_scores", lambda folder: published)
    monkeypatch.setattr(run, "_run", runs)
    monkeypatch.setattr(run.stored, "collect", lambda planned, store: (local, None))
    monkeypatch.setattr(run.dataclasses, "replace", lambda loaded, grid: grid)
    grid = SimpleNamespace(name="small", attacks=[SimpleNamespace(name="haim_kkt"), SimpleNamespace(name="other")])
    grid.model_copy = lambda update: SimpleNamespace(**update)
    lines = run._by_line(records(local))
    found = run._public(SimpleNamespace(grid=grid), None, Path(), None, dict.fromkeys(lines, version))
    return [len(mine) for mine in found.values()], ran


def test_published_rows_of_the_version_are_enough(monkeypatch, rows):
    assert public(monkeypatch, rows, rows, ("1", "v2")) == ([3, 3], [])


@pytest.mark.parametrize("other", [{"attack_version": "2"}, {"protocol": "v0"}, {"grid": "large"}, {"status": "failed"}])
def test_rows_of_another_version_protocol_or_grid_do_not_count(monkeypatch, rows, other):
    assert public(monkeypatch, rows.assign(**other), rows, ("1", "v2")) == ([3, 3], ["haim_kkt"])


def test_a_blind_row_has_the_line_of_the_public_one(rows):
    blind = rows.assign(dataset="blind:" + rows["dataset"], dataset_display="x, blind", data_digest="0" * 16)
    assert list(run._by_line(records(blind))) == list(run._by_line(records(rows)))
    assert len(run._by_line(records(rows))) == 2
