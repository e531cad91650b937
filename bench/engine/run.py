"""Runs what a plan has left and stores each cell as it ends: whatever stops a run, nothing finished is lost.

A KeyboardInterrupt ends the run with what is stored; the same command resumes. A budget that is spent starts no new batch. A cell that
fails is a row with its reason. The batches run in this process (``executors.serial``); with more than one job, or a timeout, in worker
processes (``executors.workers``); or on a cluster (``executors.ray``).
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from bench.api import Row
from bench.cards import lacking
from bench.engine.plan import Plan
from bench.engine.progress import Progress, Silent
from bench.engine.rows import Result, failed, in_words
from bench.engine.stored import cache_of
from bench.errors import BenchError
from bench.files import store_files
from bench.memory import budget
from bench.precision import check
from bench.store import Store

if TYPE_CHECKING:
    from bench.apart.room import Room
    from bench.engine.executors.cluster import Cluster


@dataclass
class Summary:
    """How a run ended."""

    grid: str
    total: int
    ok: int = 0
    failed: int = 0
    skipped: int = 0
    cached: int = 0
    left: int = 0  # cells that were to run and did not: interrupted, or out of budget
    failures: list[tuple[str, str]] = field(default_factory=list)  # cell in words, reason
    beside: dict[str, str] = field(default_factory=dict)  # attack → its rows' `isolation`, where it was not apart though that was asked for
    interrupted: bool = False
    out_of_budget: bool = False
    seconds: float = 0.0


def pick_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a device.

    Raises:
        BenchError: another word, or no GPU where one is asked for.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise BenchError(f"unknown device '{name}'", expected="auto, cpu or cuda", got=repr(name))
    if name == "cuda" and not torch.cuda.is_available():
        got, hint = lacking()
        raise BenchError("there is no CUDA device here", expected="a GPU that torch sees", got=got, hint=f"{hint}; or --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def run(
    plan: Plan,
    rows: Store,
    device: torch.device,
    progress: Progress | None = None,
    *,
    no_cache: bool = False,
    memory_gib: float | None = None,
    jobs: int | None = 1,
    timeout: float | None = None,
    cluster: Cluster | None = None,
    debug: Callable[[Exception], None] | None = None,
    room: Room | None = None,
) -> Summary:
    """Runs what the plan has left, storing each cell as it ends.

    Args:
        memory_gib: what a stack of targets or runs may take; None: half of what is free on the device.
        jobs: worker processes; 1 without a timeout: none, everything runs in this process. None, on a cluster: as many as it has room for.
        timeout: seconds that one training, or one batch of cells, may take.
        cluster: where the workers are, if not on this machine; ``device`` is not asked then.
        debug: is called with what an attack on one cell has raised, before the cell fails; in this process only.
        room: where attacks run apart from the secret; workers have rooms of their own, of the same choice. None: where targets are trained.

    Raises:
        BenchError: the store cannot be written (the disk is full), or the GPU rounds products; what was stored before is kept.
    """
    began = time.monotonic()
    progress = progress or Silent()
    sandbox = room.choice if room is not None else "off"
    waiting = [cell for cell in plan.cells if cell.state == "to run"]
    summary = Summary(plan.grid, len(plan.cells), cached=sum(cell.state == "cached" for cell in plan.cells), left=len(waiting))
    minutes = plan.loaded.grid.budget.minutes
    deadline = math.inf if minutes is None else began + 60 * minutes
    try:
        progress.start(len(waiting), summary.cached)
        _settled(plan, rows, summary)
        if room is not None and (cluster is not None or (jobs or 1) > 1 or timeout is not None):
            room.close()  # it has served the plan
        if cluster is not None:
            from bench.engine.executors import ray as on_ray

            source = on_ray.results(
                waiting,
                plan,
                cluster,
                progress,
                deadline,
                jobs=jobs,
                timeout=timeout,
                memory_gib=memory_gib,
                no_cache=no_cache,
                sandbox=sandbox,
            )
        elif (jobs or 1) > 1 or timeout is not None:
            from bench.engine.executors import workers

            source = workers.results(
                waiting,
                plan,
                device.type,
                progress,
                deadline,
                jobs=jobs or 1,
                timeout=timeout,
                memory_gib=memory_gib,
                no_cache=no_cache,
                sandbox=sandbox,
            )
        else:
            from bench.engine.executors import serial

            if waiting:
                check(device)
            source = serial.results(
                waiting, plan, cache_of(no_cache), device, progress, deadline, budget(device, memory_gib), no_cache, debug, room
            )
        # what a plug-in prints is no part of our output; and whatever ends this loop ends the workers
        with contextlib.redirect_stdout(sys.stderr), contextlib.closing(source) as parts:
            for part in parts if waiting else ():
                rows.append([result.row for result in part], [image for result in part for image in result.images])
                for result in part:
                    _count(summary, result)
                    held = str(result.row.get("isolation"))
                    if room is not None and held in ("none", "imported"):
                        summary.beside[result.cell.attack.spec.name] = held
                    progress.finished(in_words(result.cell), result.status, result.reason)
        summary.out_of_budget = summary.left > 0
    except KeyboardInterrupt:
        summary.interrupted = True
    except OSError as error:
        raise BenchError(
            f"the store {store_files()} cannot be used",
            expected="free space, and a folder that can be read and written",
            got=str(error),
            hint="free some space, or set RECONBENCH_HOME or RECONBENCH_STORE, then run the same command again; finished cells are kept",
        ) from error
    finally:
        progress.close()
        summary.seconds = time.monotonic() - began
    return summary


def _settled(plan: Plan, rows: Store, summary: Summary) -> None:
    """Cells whose fate needs no run: skipped, broken, failed before. New ones become rows."""
    before = rows.status()
    fresh: list[Row] = []
    for cell in plan.cells:
        if cell.state == "unsupported":
            summary.skipped += 1
            result = ("skipped", cell.reason)
        elif cell.state == "broken":
            result = ("failed", cell.reason)
        elif cell.state == "failed before":
            summary.failed += 1
            summary.failures.append((in_words(cell), cell.reason))
            continue
        else:
            continue
        if cell.state == "broken":
            summary.failed += 1
            summary.failures.append((in_words(cell), cell.reason))
        if before.get((plan.grid, cell.id)) != result:
            fresh.append(failed(cell, plan.loaded.grid, cell.reason, status=result[0]).row)
    if fresh:
        rows.append(fresh)


def _count(summary: Summary, result: Result) -> None:
    summary.left -= 1
    if result.status == "ok":
        summary.ok += 1
    elif result.status == "skipped":
        summary.skipped += 1
    else:
        summary.failed += 1
        summary.failures.append((in_words(result.cell), result.reason))
