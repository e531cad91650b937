"""Runs one batch of cells: attack, check, keep, score; each cell ends as a row, whatever happened.

A batch is cells of one attack on targets of one shape; their runs (cells × runs of the sweep) go to ``Attack.reconstruct_batch`` together.

Answers are rounded to the precision in which they are kept before they are scored: scoring them again later gives the same numbers.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from bench import tracks
from bench.api import DIVERGED, OWN_LOSS, Objective, Release, Row, Target
from bench.engine.answers import Answer, keep
from bench.engine.attack import Ended, Runs, attack
from bench.engine.canary import transplanted
from bench.engine.judge import judge
from bench.engine.plan import Cell
from bench.engine.provenance import device_name
from bench.engine.rows import Result, describe, failed
from bench.engine.sweeps import draws
from bench.errors import StorageError
from bench.faults import blame
from bench.files import Files
from bench.grids.model import Grid
from bench.memory import forget_peak, peak_memory_mb
from bench.precision import watched

if TYPE_CHECKING:
    from bench.apart.room import Room

FACTS = ("train_accuracy", "test_accuracy", "train_loss", "epochs_run", "kkt_residual", "seconds_train", "rounding_train")


def run_batch(
    cells: Sequence[Cell],
    targets: Mapping[str, Target],
    grid: Grid,
    files: Files,
    device: torch.device,
    memory: int,
    *,
    no_cache: bool = False,
    debug: Callable[[Exception], None] | None = None,
    room: Room | None = None,
) -> Iterator[Result]:
    """Attacks the targets of the cells and yields one result a cell, in order.

    Args:
        files: where the raw reconstructions are kept, one file a cell.
        device: where the targets are.
        memory: bytes that the runs of one stack may take, by the attack's estimate.
        no_cache: attack again also where a run of a sweep is kept.
        debug: is called with what an attack on one cell has raised, before the cell fails.
        room: where attacks run apart; None: in this process.

    Raises:
        StorageError: the reconstructions cannot be written.
    """
    planned = cells[0].attack
    if room is not None and planned.cls is not None:
        room.wait(planned.spec.name, planned.cls)
    began = time.perf_counter()
    forget_peak(device)
    track = tracks.get(cells[0].attack.track).work
    saved = [_saved(targets[cell.target_id].release) for cell in cells]
    runs = Runs(files, afresh=no_cache)
    with watched(device) as watch:
        answers, stack = attack(cells, targets, device, memory, runs, debug, room)
    seconds = (time.perf_counter() - began) / len(cells)  # a batch runs together; its time is shared out evenly
    cost = {"seconds_attack": seconds, "peak_memory_mb": stack.peak or peak_memory_mb(device), "device": device_name(device)}
    cost["rounding_attack"] = watch.coarsest
    cost["isolation"] = "none" if room is None or planned.cls is None else room.isolation(planned.spec.name, planned.cls)
    answered = [cell for cell, answer in zip(cells, answers, strict=True) if not isinstance(answer, str)]
    beside = transplanted(
        answered,
        targets,
        grid.seeds,
        device,
        lambda some, made: attack(some, made, device, memory, Runs(files, afresh=True), room=room)[0],
    )
    for cell, answer, before in zip(cells, answers, saved, strict=True):
        target = targets[cell.target_id]
        cost |= {"stack": stack.size, "stack_halvings": stack.halvings + target.facts.get("stack_halvings", 0)}
        # what an attack found on disk, of its own or of others, cost what it cost when it was made
        cost["seconds_attack"] = seconds + _saved(target.release) - before + sum(s for (id_, _), s in runs.spared.items() if id_ == cell.id)
        facts = {name: target.facts.get(name) for name in FACTS}
        if isinstance(answer, str):
            yield failed(cell, grid, answer, {**facts, **cost})
            continue
        began = time.perf_counter()
        swept = cell.attack.spec.sweep is not None
        try:
            ended = [dataclasses.replace(run, answer=track.rounded(run.answer)) for run in answer]
            last = {k: run.answer for k, run in enumerate(ended) if run.rung == cell.attack.rungs[-1]}
            pooled = _numbered(track.pool(list(last.values()), told=swept), list(last))
            keep(files, cell.id, pooled, cell.attack.track)
            scores, images = judge(cell.id, pooled, target.secret, cell.attack.track, grid.gallery, device)
        except StorageError:
            raise
        except Exception as error:  # images too small for the window, say; the other cells go on
            if debug is not None:
                debug(error)
            yield failed(cell, grid, f"scoring: {blame(error)}", {**facts, **cost})
            continue
        losses = [run.loss for run in last.values() if run.loss is not None]
        row = {
            **describe(cell, grid),
            **facts,
            **cost,
            **scores,
            **beside[cell.id],
            "status": "ok",
            "reason": "",
            "runs": len(last),
            "attack_loss": min(losses) if losses else None,
            "sweep_runs": _sweep_runs(cell, ended, scores.get("sweep_runs") or []) if swept else None,
            "rungs": _rungs(cell) if cell.attack.raced else None,
            "seconds_score": time.perf_counter() - began,
        }
        yield Result(cell, row, images)


def _saved(release: Release) -> float:
    """Seconds that a release's recipe and keeper have spared its attacks so far, in tracks that have them."""
    return sum(getattr(part, "saved", 0.0) for part in release.held().values())


def _numbered(pooled: Answer, runs: Sequence[int]) -> Answer:
    """A pooled answer that says which run made each image, by the runs' own numbers: those of a race's last rung are not 0, 1, 2."""
    place = getattr(pooled, "run", None)
    return pooled if place is None else pooled._replace(run=torch.tensor(runs)[place.long().cpu()])


def _rungs(cell: Cell) -> list[Row]:
    """What the row says of a race: on each rung so many runs, each of so large a budget."""
    one = cell.attack
    assert one.cls is not None
    return [{"runs": rung.runs, one.cls.budget: one.full if rung.budget is None else rung.budget} for rung in one.rungs]


def _sweep_runs(cell: Cell, ended: Sequence[Ended], scores: Sequence[Row]) -> list[Row]:
    """What the row says of each run of a sweep: its draw, its own loss and objective, how it scores alone, and in a race on which rung it
    ended; those that dropped out are not scored."""
    scored = {score["run"]: score for score in scores}
    runs, rungs = [run.answer for run in ended], cell.attack.rungs
    assert cell.attack.cls is not None
    ranked = all(getattr(run, "confidence", None) is not None for run in runs)  # as runs are pooled
    objective = cell.attack.cls.goes_by if ranked else OWN_LOSS
    return [
        {
            "run": k,
            "params": {name: float(f"{value:.6g}") for name, value in draw.items()},
            "loss": run.loss,
            "objective": {"name": objective.name, "better": objective.better, "value": _reached(run, objective) if ranked else run.loss},
            **{name: scored.get(k, {}).get(name) for name in ("members", "controls", "submitted")},
            **({"rung": rungs.index(ended[k].rung)} if cell.attack.raced else {}),
        }
        for k, (draw, run) in enumerate(zip(draws(cell.attack.spec, cell.attack.cls), runs, strict=True))
    ]


def _reached(run: Answer, objective: Objective) -> float | None:
    """The objective of a run with confidences; None where it came to no end."""
    best = float(run.confidence.max())
    return None if best <= DIVERGED else -best if objective.better == "lower" else best
