"""Successive halving: how many runs go on and how long, which they are, what the row says, and that a resumed race ends as any other."""

from __future__ import annotations

import itertools
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from same_rows import differing
from tiny_grid import clean_registry, no_transplants, write_grid, write_plugin  # noqa: F401

from bench import registry
from bench.api import DIVERGED, Candidates
from bench.cli import main
from bench.engine import rescore, stacks, stored
from bench.engine import run as engine
from bench.engine.attack import Runs
from bench.engine.plan import plan
from bench.engine.prepare import prepare
from bench.engine.race import Rung, best, rungs
from bench.engine.runs import with_runs
from bench.errors import AttackFault, BenchError
from bench.grids.model import AttackSpec, Sweep
from bench.grids.read import load

pytestmark = pytest.mark.usefixtures("clean_registry", "no_transplants")


def go(path, **options):
    """Runs a grid file; the summary and the grid's rows."""
    rows = stored.store()
    planned = plan(load(path), stored.known(rows), no_cache=options.get("no_cache", False))
    summary = engine.run(planned, rows, torch.device("cpu"), **options)
    return summary, stored.collect(planned, rows)[0]


def test_rungs_of_the_example():
    assert rungs(32, 4, 2500) == (Rung(32, 156), Rung(8, 625), Rung(2, None))
    assert rungs(32, None, 2500) == (Rung(32, None),)
    assert rungs(5, 5, 5) == (Rung(5, 1), Rung(1, None))


@given(st.integers(2, 2000), st.integers(2, 12), st.integers(1, 60_000))
def test_rungs_are_as_many_as_can_be_and_each_costs_no_more_than_its_share(runs, halving, budget):
    found = rungs(runs, halving, budget)
    times = len(found) - 1
    assert halving**times <= min(runs, budget) < halving ** (times + 1)
    assert found[0].runs == runs, "all begin"
    assert [rung.budget is None for rung in found] == [False] * times + [True], "the last rung alone goes to the end"
    for one, after in itertools.pairwise(found):
        assert after.runs == one.runs // halving >= 1
    for i, rung in enumerate(found):
        steps = budget if rung.budget is None else rung.budget
        assert steps >= 1
        assert steps == budget // halving ** (times - i)
        assert rung.runs * steps * halving**times <= runs * budget


def answer(confidence=None, loss=None, used=None):
    images = torch.zeros(2, 1, 2, 2)
    return Candidates(images, None if confidence is None else torch.tensor(confidence), loss, used=used)


def test_the_best_runs_are_those_that_the_attack_trusts_most():
    trusted = [answer([0.1, 0.9], 5.0), answer([0.8, 0.8], 0.0), answer([DIVERGED] * 2), answer([0.9, 0.0], 9.0)]
    assert best(trusted, 2) == [0, 3], "by the best candidate, not by the loss"
    assert best(trusted, 1) == [0], "the first of equals"
    assert best(trusted, 3) == [0, 1, 3]
    losing = [answer(loss=2.0), answer(), answer(loss=float("nan")), answer([1.0, 1.0], 1.0)]
    assert best(losing, 2) == [0, 3], "by the loss where not all are ranked; what came to no end is last"
    assert best([answer([DIVERGED] * 2), answer([DIVERGED] * 2)], 1) == [0]


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ([answer(), answer()], "neither confidences nor a loss"),
        ([answer(loss=1.0, used=3), answer(loss=2.0, used=3)], "questions are counted"),
    ],
)
def test_runs_that_cannot_be_compared_are_no_race(runs, reason):
    with pytest.raises(AttackFault, match=reason):
        best(runs, 1)


# Its best run is that of the largest scale; it writes down how long each of its runs was.
CLIMBING = """
import os
log = os.environ["RACE_LOG"]
open(log, "a").write(f"{self.steps} {self.scale}\\n")
if os.environ.get("STOP_AT") == str(len(open(log).readlines())):
    raise KeyboardInterrupt
images = release.mean_image + self.scale * torch.randn(4, *release.mean_image.shape, generator=generator)
return Candidates(images, TOLD)
"""
AFTER = '\n    steps: int = 9\n    budget: ClassVar[str] = "steps"\n    ranges: ClassVar = {"scale": (0.01, 0.3, "linear")}\n'
RACE = "{name: climbing, sweep: {runs: 9, halving: 3}}"
BY_CONFIDENCE = "torch.full((4,), self.scale)"


@pytest.fixture
def log(tmp_path, monkeypatch):
    """The steps and the scale of each run that was made since it was last asked."""
    path = tmp_path / "race.log"
    monkeypatch.setenv("RACE_LOG", str(path))

    def made():
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        path.write_text("")
        return [(int(steps), float(scale)) for steps, scale in lines]

    return made


@pytest.mark.parametrize("told", [BY_CONFIDENCE, "None, -self.scale"])
def test_a_race_ends_in_rows_that_say_what_was_raced(tmp_path, log, told):
    registry.load_plugin(write_plugin(tmp_path, "climbing", CLIMBING.strip().replace("TOLD", told), after=AFTER))
    summary, frame = go(write_grid(tmp_path, RACE))
    assert (summary.ok, summary.failed) == (4, 0), summary.failures
    made = log()
    assert [sum(steps == wanted for steps, _ in made) for wanted in (1, 3, 9)] == [4 * 9, 4 * 3, 4 * 1]
    scales = sorted({scale for _, scale in made})
    assert {scale for steps, scale in made if steps == 3} == set(scales[-3:])
    assert {scale for steps, scale in made if steps == 9} == {scales[-1]}
    for row in frame.to_dict("records"):
        assert json.loads(row["rungs"]) == [{"runs": 9, "steps": 1}, {"runs": 3, "steps": 3}, {"runs": 1, "steps": 9}]
        assert json.loads(row["sweep"])["halving"] == 3
        assert (row["runs"], row["n_candidates"]) == (1, 4)
        runs = json.loads(row["sweep_runs"])
        assert [run["run"] for run in runs] == list(range(9))
        order = sorted(range(9), key=lambda k: -runs[k]["params"]["scale"])
        assert [runs[k]["rung"] for k in order] == [2, 1, 1, *[0] * 6]
        assert [runs[k]["members"] is None for k in order] == [False, *[True] * 8], "who dropped out is not scored"
        assert all(run["objective"]["value"] is not None for run in runs)
    fresh, missing = rescore.rescore(stored.store(), None)
    assert not missing
    assert [row["sweep_runs"] for row in fresh] == [json.loads(text) for text in frame.sort_values(["target_id", "cell_id"])["sweep_runs"]]


@pytest.mark.parametrize(("stop", "lost"), [(5, 1), (6, 2), (10, 1), (11, 2), (13, 1)])  # in stacks of two: 9 runs, then 3, then 1
def test_a_race_that_is_interrupted_goes_on_where_it_was_and_ends_as_any_other(tmp_path, log, monkeypatch, stop, lost):
    registry.load_plugin(write_plugin(tmp_path, "climbing", CLIMBING.strip().replace("TOLD", BY_CONFIDENCE), after=AFTER))
    monkeypatch.setitem(stacks.RUNS_AT_ONCE, "cpu", 2)
    monkeypatch.setitem(stacks.TARGETS_AT_ONCE, "cpu", 1)
    path = write_grid(tmp_path, RACE)
    monkeypatch.setenv("STOP_AT", str(stop))
    assert go(path)[0].interrupted
    assert len(log()) == stop
    monkeypatch.delenv("STOP_AT")
    summary, resumed = go(path)
    assert summary.failed == summary.left == 0
    whole = [*[1] * 9, *[3] * 3, 9]
    assert [steps for steps, _ in log()] == [*whole[stop - lost :], *whole * 3], "only the stack in flight is made again"
    _, fresh = go(path, no_cache=True)
    assert [steps for steps, _ in log()] == whole * 4
    assert not differing(resumed, fresh)
    assert (resumed["seconds_attack"] > 0).all()


def test_of_a_stack_that_was_not_kept_whole_all_runs_are_made_again(tmp_path, log, monkeypatch, bench_home):
    """A run alone is rounded otherwise than in its stack, and might win another race."""
    registry.load_plugin(write_plugin(tmp_path, "climbing", CLIMBING.strip().replace("TOLD", BY_CONFIDENCE), after=AFTER))
    monkeypatch.setitem(stacks.RUNS_AT_ONCE, "cpu", 4)
    monkeypatch.setitem(stacks.TARGETS_AT_ONCE, "cpu", 1)
    path = write_grid(tmp_path, RACE)
    monkeypatch.setenv("STOP_AT", "10")
    go(path)
    monkeypatch.delenv("STOP_AT")
    log()
    (kept,) = (bench_home / "reconstructions" / "runs").glob("*/5-1.safetensors")
    kept.unlink()
    go(path)
    made = log()
    assert [steps for steps, _ in made[:8]] == [1, 1, 1, 1, 3, 3, 3, 9]


def test_a_run_of_the_last_rung_ends_as_in_a_sweep_that_is_not_raced(tmp_path):
    sweep = "runs: 4, ranges: {lr: {low: 0.01, high: 0.5, scale: log}}"
    lines = [f"{{name: haim_kkt, params: {{steps: 40, dtype: float64}}, sweep: {{{sweep}{more}}}}}" for more in ("", ", halving: 2")]
    _, frame = go(write_grid(tmp_path, ", ".join(lines)))
    assert set(frame["status"]) == {"ok"}, set(frame["reason"])
    raced = frame["rungs"].notna()
    for target, rows in frame.groupby("target_id"):
        plain, race = (json.loads(rows.loc[raced.loc[rows.index] == side, "sweep_runs"].iloc[0]) for side in (False, True))
        assert [run["params"] for run in plain] == [run["params"] for run in race], target
        (last,) = [run for run in race if run["rung"] == 2]
        assert last["loss"] == pytest.approx(plain[last["run"]]["loss"], rel=1e-6)
        assert {"rung"} == set(race[0]) - set(plain[0])


def test_a_race_is_another_cell_and_a_sweep_without_one_stays_what_it_was():
    sweeps = [Sweep(runs=4), Sweep(runs=4, halving=None), Sweep(runs=4, halving=2), Sweep(runs=4, halving=4)]
    texts = [prepare(AttackSpec(name="haim_kkt", sweep=sweep)).sweep_json for sweep in sweeps]
    assert texts[0] == texts[1]
    assert "halving" not in texts[0]
    assert len(set(texts)) == 3
    plain, raced = (prepare(AttackSpec(name="haim_kkt", sweep=sweep)) for sweep in sweeps[1:3])
    assert plain.instances == raced.instances, "the same values are drawn"
    assert [raced.on(rung, 0).steps for rung in raced.rungs] == [625, 1250, 2500]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{name: climbing, sweep: {runs: 4, halving: 1}}", "halving is a whole number from 2 to the number of runs, 4, not 1"),
        ("{name: climbing, sweep: {runs: 4, halving: 5}}", "halving is a whole number from 2 to the number of runs, 4, not 5"),
        ("{name: climbing, sweep: {runs: 4, halving: 2.5}}", "halving: Input should be a valid integer"),
        ("{name: climbing, sweep: {runs: 4, halving: yes}}", "halving: a number or a name is wanted, not true or false"),
        ("{name: climbing, params: {steps: 2}, sweep: {runs: 4, halving: 3}}", "its budget, steps, cannot be divided by 3"),
        ("{name: climbing, sweep: {runs: 4, halving: 2, ranges: {steps: {low: 4, high: 9}}}}", "cannot be raced over steps"),
        ("{name: model_inversion, sweep: {runs: 4, halving: 2, ranges: {lr: {low: 0.1, high: 0.9}}}}", "does not say which hyperparameter"),
    ],
)
def test_what_cannot_be_raced_is_refused_before_anything_runs(tmp_path, line, what):
    registry.load_plugin(write_plugin(tmp_path, "climbing", CLIMBING.strip().replace("TOLD", BY_CONFIDENCE), after=AFTER))
    with pytest.raises(BenchError) as caught:
        plan(load(write_grid(tmp_path, line)), {})
    assert what in caught.value.what
    assert caught.value.got


def test_an_attack_that_tells_nothing_to_compare_its_runs_by_fails_its_cells(tmp_path, log):
    registry.load_plugin(write_plugin(tmp_path, "climbing", CLIMBING.strip().replace("TOLD", "None"), after=AFTER))
    summary, frame = go(write_grid(tmp_path, f"{RACE}, mean_image"))
    assert (summary.ok, summary.failed) == (4, 4)
    assert frame["reason"].str.contains("neither confidences nor a loss").sum() == 4
    assert {steps for steps, _ in log()} == {1}


def test_more_runs_of_a_race_are_raced_and_too_few_are_refused(tmp_path):
    registry.load_plugin(write_plugin(tmp_path, "climbing", CLIMBING.strip().replace("TOLD", BY_CONFIDENCE), after=AFTER))
    grid = load(write_grid(tmp_path, f"{RACE}, {RACE.replace('runs: 9', 'runs: 12')}, {RACE.replace('halving: 3', 'halving: 2')}")).grid
    assert [(spec.sweep.runs, spec.sweep.halving) for spec in with_runs(grid, 20).attacks] == [(20, 3), (20, 2)]
    with pytest.raises(BenchError, match="--runs 2: too few to race attack 'climbing'"):
        with_runs(grid, 2)


def test_a_race_goes_by_what_is_kept(tmp_path):
    cell = plan(load(write_grid(tmp_path, "{name: haim_kkt, sweep: {runs: 4, halving: 2}}")), {}).cells[0]
    made = Candidates(torch.full((1, 1, 25, 25), 1 / 3), torch.tensor([0.1]), 1 / 3)
    runs, later = (Runs(stored.reconstructions()) for _ in range(2))
    runs.keep(cell, "0-625", made, 2.0)
    assert later.find(cell, "0-625")
    assert not later.find(cell, "0")
    assert torch.equal(runs.done[cell.id, "0-625"].images, later.done[cell.id, "0-625"].images)
    assert later.done[cell.id, "0-625"].loss == 1 / 3
    assert not Runs(stored.reconstructions(), afresh=True).find(cell, "0-625")
    assert (runs.spared, later.spared) == ({}, {(cell.id, "0-625"): 2.0})


def test_info_tells_of_a_race_and_of_the_budget(tmp_path, capsys):
    registry.load_plugin(write_plugin(tmp_path, "climbing", CLIMBING.strip().replace("TOLD", BY_CONFIDENCE), after=AFTER))
    assert main(["info", str(write_grid(tmp_path, RACE))]) == 0
    assert "sweep of 9 runs over the ranges it declares, raced with halving 3" in capsys.readouterr().out
    assert main(["info", "haim_kkt"]) == 0
    assert "hyperparameter steps: int = 2500; the budget by which a sweep is raced" in capsys.readouterr().out
