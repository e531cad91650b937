"""Attacks in processes of their own: the same rows as in the process that knows the secret, and what they do to their process is their own
loss."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from tiny_grid import NOISE, clean_registry, write_plugin  # noqa: F401

from bench.apart.room import Room
from bench.engine import run as engine
from bench.engine import stored
from bench.engine.plan import plan
from bench.grids.read import load
from bench.schema import COST_COLUMNS, PROVENANCE_COLUMNS
from bench.sealed import unseal

pytestmark = pytest.mark.usefixtures("clean_registry", "few_clean_networks")
CPU = torch.device("cpu")
NOT_COMPARED = {*COST_COLUMNS, *PROVENANCE_COLUMNS}

# answers of every form: images, with confidences, with starts, with a count of questions, of a sweep and a race; scores; a network
GRIDS = {
    "reconstruction": ("n_per_class: 2, hidden: [8], epochs: 20", """
  - mean_image
  - {name: haim_kkt, params: {steps: 8}}
  - {name: haim_kkt, params: {steps: 12}, sweep: {runs: 4, halving: 2, ranges: {lr: {low: 0.001, high: 0.1, scale: log}}}}
  - {name: haim_kkt, params: {steps: 6}, sweep: {runs: 3, ranges: {lr: {low: 0.001, high: 0.1, scale: log}}}}
  - {name: warm_start, params: {steps: 8}}
  - {name: explained}
  - {name: random_scores}
  - {name: margin_test}"""),
    "stealing": (
        "n_per_class: 4, hidden: [8], epochs: 5, defense: memorized_examples, defense_params: {kind: noise, count: 2, repeat: 1}",
        """
  - {name: steal_logits, params: {queries: 40, epochs: 2}}
  - {name: steal_gradients, params: {queries: 40, epochs: 2}}
  - {name: clean_model, params: {epochs: 2}}""",
    ),
    "informed": ("n_per_class: 2, hidden: [6], epochs: 5", """
  - {name: nearest_shadow, params: {shadows: 20}}
  - {name: informed_adversary, params: {shadows: 20, reconstructor: network, epochs: 2}}"""),
}  # fmt: skip


def write(folder: Path, base: str, attacks: str, seeds: int = 2) -> Path:
    """A grid file."""
    path = folder / "small.yaml"
    head = f"name: small\ntitle: Small\nquestion: Are the rows the same?\nbase: {{dataset: lfw_faces, {base}}}\nseeds: {seeds}\nattacks:"
    path.write_text(head + attacks)
    return path


def go(grid: Path, room: Room | None, monkeypatch: pytest.MonkeyPatch, home: Path, **options) -> pd.DataFrame:
    """Runs a grid file in a store of its own; returns its rows, by cell."""
    monkeypatch.setenv("RECONBENCH_HOME", str(home))
    rows = stored.store()
    planned = plan(load(str(grid)), stored.known(rows))
    engine.run(planned, rows, CPU, room=room, **options)
    return stored.collect(planned, rows)[0].sort_values("cell_id", ignore_index=True)


@pytest.fixture
def room():
    """Processes without a sandbox."""
    with Room("none") as room:
        yield room


@pytest.mark.parametrize("track", GRIDS)
def test_rows_are_those_of_the_process_that_knows_the_secret(track, room, tmp_path, monkeypatch):
    grid = write(tmp_path, *GRIDS[track])
    here = go(grid, None, monkeypatch, tmp_path / "here")
    apart = go(grid, room, monkeypatch, tmp_path / "apart")
    assert (here["status"] == "ok").all(), here["reason"].tolist()
    assert set(here["isolation"]) == {"none"}
    assert set(apart["isolation"]) == {"process"}
    pd.testing.assert_frame_equal(here.drop(columns=NOT_COMPARED), apart.drop(columns=NOT_COMPARED), check_exact=True)
    for name in here["cell_id"]:  # also what is kept of each answer
        kept = [unseal((tmp_path / where / "reconstructions" / f"{name}.safetensors").read_bytes()) for where in ("here", "apart")]
        assert kept[0][1] | {"seconds": ""} == kept[1][1] | {"seconds": ""}
        assert kept[0][0].keys() == kept[1][0].keys()
        assert all(torch.equal(tensor, kept[1][0][key]) for key, tensor in kept[0][0].items())
    assert set(apart["rounding_attack"]) == {"ieee"}
    assert (apart["peak_memory_mb"] > 50).all()
