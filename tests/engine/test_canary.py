"""The canary: which cells meet which network, under which names, and what the row says where there is none, or the attack fails there."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch
from same_rows import differing
from tiny_grid import clean_registry, write_grid, write_plugin  # noqa: F401

from bench import registry, seeds
from bench.engine import canary, queue, stored
from bench.engine import run as engine
from bench.engine.attack import Ended
from bench.engine.plan import plan, runs_id
from bench.engine.race import Rung
from bench.engine.training import train
from bench.grids.read import load
from bench.targets.cache import TargetCache
from bench.tracks.reconstruction import work as reconstruction

pytestmark = pytest.mark.usefixtures("clean_registry")
CPU = torch.device("cpu")


def go(path, **options):
    rows = stored.store()
    planned = plan(load(path), stored.known(rows))
    summary = engine.run(planned, rows, CPU, **options)
    return summary, *stored.collect(planned, rows)


def planned_cells(path):
    """The cells of the first weight decay of the tiny grid, their targets, and the grid's seeds."""
    planned = plan(load(path), {})
    cells = [cell for cell in planned.cells if cell.axis_index == 0]
    targets, faults = train({cell.target_id: cell.setting for cell in cells}, "reconstruction", TargetCache(), CPU)
    assert not faults
    return cells, targets, planned.loaded.grid.seeds


class Attacking:
    """Answers with the same images every time, and remembers what it was given."""

    def __init__(self, fails: str = "") -> None:
        self.fails, self.given = fails, []

    def __call__(self, cells, targets):
        self.given += [(cell, targets[cell.target_id]) for cell in cells]
        images = torch.full((4, 1, 25, 25), 0.5)
        answer = reconstruction.check_answer(images, next(iter(targets.values())).release)
        return [self.fails or [Ended(answer, Rung(1, None))] * len(cell.attack.instances) for cell in cells]


def test_one_seed_in_four_meets_the_network_of_the_seed_before_it(tmp_path):
    cells, targets, seeds_ = planned_cells(write_grid(tmp_path))
    attacking = Attacking()
    found = canary.transplanted(cells, targets, seeds_, CPU, attacking)
    (zero, one), ((cell, target),) = cells, attacking.given
    assert found[zero.id] == {"transplant_reason": "one seed in 4 meets a transplant"}
    own, other = targets[one.target_id], targets[zero.target_id]
    assert torch.equal(target.release.weights["layers.0.weight"], other.release.weights["layers.0.weight"])
    assert torch.equal(target.release.mean_image, own.release.mean_image)
    assert target.secret is own.secret, "scored against the cell's own"
    row = found[one.id]
    assert (row["transplant_seed"], row["transplant_reason"]) == (0, "")
    assert row["transplant"] == pytest.approx(row["transplant_members"] - row["transplant_controls"])
    assert row["seconds_transplant"] > 0
    assert cell.id not in {one.id, zero.id}
    streams = {seeds.generator("attack", runs_id(c), 0).initial_seed() for c in (zero, one, cell)}
    assert len(streams) == 3


def test_of_a_sweep_the_first_runs_go_under_a_name_of_their_own(tmp_path):
    registry.load_plugin(write_plugin(tmp_path))
    path = write_grid(tmp_path, "{name: noise, sweep: {runs: 9, ranges: {scale: {low: 0.01, high: 0.3}}}}")
    cells, targets, seeds_ = planned_cells(path)
    attacking = Attacking()
    canary.transplanted(cells, targets, seeds_, CPU, attacking)
    ((cell, _),) = attacking.given
    assert cell.attack.instances == cells[1].attack.instances[: canary.FIRST_RUNS]
    assert (len(cell.attack.rungs), cell.attack.rungs[0].runs, cell.attack.raced) == (1, canary.FIRST_RUNS, False)
    assert cell.attack.spec.sweep is None, "so nothing keeps its runs"
    assert runs_id(cell) != runs_id(cells[1])


def test_an_attack_that_fails_there_has_found_nothing(tmp_path):
    cells, targets, seeds_ = planned_cells(write_grid(tmp_path))
    row = canary.transplanted(cells, targets, seeds_, CPU, Attacking("it raised ValueError: no"))[cells[1].id]
    assert (row["transplant"], row["transplant_members"], row["transplant_controls"]) == (0.0, 0.0, 0.0)
    assert row["transplant_reason"] == "failed on the transplant: it raised ValueError: no"


def test_where_there_is_no_other_network_the_row_says_so(tmp_path, bench_home):
    cells, targets, seeds_ = planned_cells(write_grid(tmp_path))
    one = cells[1]
    attacking = Attacking()

    def said(targets, seeds_):
        return canary.transplanted([one], targets, seeds_, CPU, attacking)[one.id]

    assert said(targets, [1]) == {"transplant_reason": "the grid has no other seed"}
    mine = {one.target_id: targets[one.target_id]}
    from_disk = said(mine, seeds_)
    shutil.rmtree(bench_home / "targets")
    assert said(mine, seeds_) == {"transplant_reason": "the network of seed 0 is not in the cache"}
    assert not (bench_home / "targets").exists(), "none is trained for this"
    held = said(targets, seeds_)
    assert {**held, "seconds_transplant": 0} == {**from_disk, "seconds_transplant": 0}


def test_the_other_seed_is_the_one_before_in_the_grids_list(tmp_path):
    cells, *_ = planned_cells(write_grid(tmp_path))
    cell = cells[1]

    def others(seed, seeds_):
        mine = dataclasses.replace(cell, setting=cell.setting.model_copy(update={"seed": seed}))
        found = canary.partners([mine], seeds_)
        return [s for s in seeds_ if canary.target_id(cell.setting.model_copy(update={"seed": s}), cell.data_digest) in found.values()]

    assert others(1, [0, 1, 2]) == [0]
    assert others(5, [1, 3, 5]) == [3]
    assert others(1, [1, 2, 3]) == [3], "of the first one the last"
    assert (others(0, [0, 1]), others(4, [3, 4]), others(1, [1])) == ([], [], [])


def test_rows_have_it_and_a_run_that_goes_on_gives_the_same(tmp_path, bench_home):
    path = write_grid(tmp_path, "heldout_images, mean_image")
    _, whole, _ = go(path)
    met = whole[whole["transplant"].notna()]
    assert set(met["seed"]) == {1}
    assert len(met) == 4
    assert (met["transplant_seed"] == 0).all()
    assert set(whole.loc[whole["seed"] == 0, "transplant_reason"]) == {"one seed in 4 meets a transplant"}
    shutil.rmtree(bench_home / "rows")
    stored.store().append(whole[whole["seed"] == 0].to_dict("records"), [])  # what an interrupted run has left: seed 1 is to run
    summary, again, _ = go(path)
    assert (summary.cached, summary.ok) == (4, 4)
    assert not differing(met, again[again["seed"] == 1])
    assert not list((bench_home / "reconstructions").rglob("*transplant*")), "its answers are not kept"


def test_a_single_seed_has_the_reason(tmp_path):
    path = write_grid(tmp_path, "mean_image")
    path.write_text(path.read_text().replace("seeds: 2", "seeds: [1]"))
    _, frame, _ = go(path)
    assert frame["transplant"].isna().all()
    assert set(frame["transplant_reason"]) == {"the grid has no other seed"}


def test_a_job_waits_for_the_target_that_its_transplants_need(tmp_path):
    cells, *_ = planned_cells(write_grid(tmp_path))
    zero, one = cells
    first, second = (queue.Chunk([cell], True) for cell in cells)
    jobs = [queue.Job("attack", [one], second), queue.Job("train", [zero], first)]
    waiting = queue.Queue(queue.collections.deque(jobs), canary.partners(cells, [0, 1]))

    class Worker:
        job, chunk, home = None, second, ""

    one_, two = Worker(), Worker()
    one_.job = waiting.take(one_, [])
    assert one_.job.kind == "train", "although the attack is of the chunk that it holds"
    assert waiting.take(two, [one_]) is None, "it is being trained"
    assert waiting.take(two, []).kind == "attack"


@pytest.mark.parametrize(
    ("plain", "levelled", "counts", "scored"), [(0.4, 0.1, 0.1, 2), (0.2, 0.3, 0.2, 2), (0.0, -0.5, 0.0, 1), (-0.3, 0.9, -0.3, 1)]
)
def test_what_scores_above_chance_counts_beside_levelled_controls_too(tmp_path, monkeypatch, plain, levelled, counts, scored):
    """The lesser of the two; what is at chance or below as it is needs no second look."""
    cells, targets, _ = planned_cells(write_grid(tmp_path, "mean_image"))
    secret = targets[cells[0].target_id].secret
    met = []

    def judged(cell_id, answer, against, *more):
        met.append(against)
        value = plain if against is secret else levelled
        return {"excess_recall": value, "recall_members": 0.5, "recall_controls": 0.5 - value}, []

    monkeypatch.setattr(canary, "judge", judged)
    answer = [
        Ended(reconstruction.check_answer(torch.zeros(1, *secret.members.shape[1:]), targets[cells[0].target_id].release), Rung(1, None))
    ]
    found = canary._columns(cells[0], secret, answer, CPU)
    assert (found["transplant"], found["transplant_members"] - found["transplant_controls"]) == pytest.approx((counts, counts))
    assert len(met) == scored
    assert met[0] is secret
