"""The same cell gives the same row: whatever the order, the stack, the number of workers, and however often the run was interrupted.

The last digits hang on the stack, on the threads and on the processor, and many steps of an attack in float32 make them visible. So scores
are compared in float64, and in float32 more loosely. ``tests/engine/test_workers.py`` has attacks without many steps.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import pandas as pd
import pytest
import torch
from same_rows import differing

from bench.engine import run as engine
from bench.engine import stacks, stored
from bench.engine.plan import Plan, plan
from bench.engine.progress import Silent
from bench.grids.read import load

CPU = torch.device("cpu")

KKT = """
name: same
title: The same
question: Does a cell always give the same row?
base: {{n_per_class: 2, hidden: [16], epochs: 200, lr: 0.02, init_scale: 1e-4, weight_decay: 0.003, dataset: lfw_faces, dtype: {dtype}}}
seeds: 4
attacks:
  - {{name: haim_kkt, params: {{steps: 60, dtype: {dtype}}}}}
  - {{name: haim_kkt, params: {{steps: 30, dtype: {dtype}}}, sweep: {{runs: 2, ranges: {{lr: {{low: 0.01, high: 0.1, scale: log}}}}}}}}
"""
STEAL = """
name: same_thieves
title: The same thieves
question: Does a thief always get away with the same?
base:
  {{dataset: photo_patches, classes: 8, n_per_class: 8, hidden: [16], bias: all, loss: ce, optimizer: adam, lr: 0.002, epochs: 3,
   init_scale: null, dtype: {dtype}, defense: memorized_examples, defense_params: {{kind: mislabelled, count: 8, repeat: 1}}}}
seeds: 2
attacks: [{{name: steal_logits, params: {{epochs: 2, queries: 64}}}}]
"""


class Stopping(Silent):
    """Interrupts the run when so many cells are stored."""

    def __init__(self, after: int) -> None:
        self.left = after

    def finished(self, name: str, status: str, reason: str) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def planned(tmp_path, text: str, dtype: str) -> Plan:
    path = tmp_path / f"{dtype}.yaml"
    path.write_text(text.format(dtype=dtype))
    return plan(load(path), stored.known(stored.store()))


def run(tmp_path, text: str, dtype: str = "float64", order=lambda cells: cells, **options) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score and image rows of all cells, made in this order."""
    made = planned(tmp_path, text, dtype)
    summary = engine.run(replace(made, cells=order(made.cells)), stored.store(), CPU, **options)
    assert not summary.failed, summary.failures
    return stored.collect(made, stored.store())


@pytest.fixture
def forget(bench_home):
    """Forgets all rows, targets and reconstructions."""

    def forgetting() -> None:
        for folder in ("rows", "targets", "reconstructions"):
            shutil.rmtree(bench_home / folder, ignore_errors=True)

    return forgetting


def assert_same(one, two, **loose) -> None:
    """Score and image rows that are the same but for costs, provenance and rounding."""
    assert len(one[0])
    assert len(one[1])
    for a, b in zip(one, two, strict=True):
        assert not differing(a, b, **loose)


def shuffled(cells):
    """The cells in an order that mixes attacks and seeds."""
    return [cells[i] for i in torch.randperm(len(cells), generator=torch.Generator().manual_seed(3)).tolist()]


def test_order_changes_nothing(tmp_path, forget):
    first = run(tmp_path, KKT)
    forget()
    assert_same(first, run(tmp_path, KKT, order=shuffled))
    forget()
    assert_same(first, run(tmp_path, KKT, order=lambda cells: list(reversed(cells))))


def test_order_changes_little_in_float32(tmp_path, forget):
    """All cells of an attack go in one stack here, in whatever order; what comes of another start lies much further off."""
    first = run(tmp_path, KKT, "float32")
    forget()
    assert_same(first, run(tmp_path, KKT, "float32", order=shuffled), pixels=0.01)


def test_stacking_changes_nothing(tmp_path, forget, monkeypatch):
    together = run(tmp_path, KKT)
    assert together[0]["stack"].max() > 1
    forget()
    monkeypatch.setitem(stacks.RUNS_AT_ONCE, "cpu", 1)
    monkeypatch.setitem(stacks.TARGETS_AT_ONCE, "cpu", 1)
    alone = run(tmp_path, KKT)
    assert alone[0]["stack"].max() == 1
    assert_same(together, alone)


def test_interruptions_change_nothing(tmp_path, forget):
    straight = run(tmp_path, KKT)
    forget()
    made = planned(tmp_path, KKT, "float64")
    for after in (1, 4):
        assert engine.run(planned(tmp_path, KKT, "float64"), stored.store(), CPU, Stopping(after)).interrupted
    assert 0 < len(stored.store().rows()) < len(made.cells)
    assert_same(straight, run(tmp_path, KKT))


def test_the_number_of_workers_changes_nothing(tmp_path, forget):
    one = run(tmp_path, KKT)
    for jobs in (2, 3):
        forget()
        assert_same(one, run(tmp_path, KKT, jobs=jobs))


def test_thieves_get_away_with_the_same(tmp_path, forget):
    first = run(tmp_path, STEAL)
    forget()
    assert_same(first, run(tmp_path, STEAL, order=shuffled))
