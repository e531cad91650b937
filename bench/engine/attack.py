"""Attacks the targets of a batch: all runs of its cells in stacks that fit in memory, each on a release of its own.

If a stack raises, each cell is tried alone, so that only the culprit fails. Every run gets a copy of its release, narrowed to the attack's
access tier, and a generator named by the cell and the run; a release that comes back changed fails the cell. The runs of a sweep are kept
one by one as they end: what is interrupted goes on with the next run, and a longer sweep begins with the runs of a shorter one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from bench import seeds, tracks
from bench.api import Release, Target
from bench.engine.answers import Answer, file_name, keep, read
from bench.engine.faults import PluginExitError, blame
from bench.engine.plan import Cell, runs_id
from bench.engine.prepare import PlannedAttack
from bench.engine.stacks import RUNS_AT_ONCE, run_bytes
from bench.errors import AttackFault, StorageError
from bench.files import Files
from bench.memory import fitting
from bench.torch_state import restored


@dataclass
class Stack:
    """How many runs went together."""

    limit: int  # runs in one stack at most
    size: int | None = None  # the largest that went through
    halvings: int = 0

    def halve(self, limit: int) -> None:
        """Memory has run out; no more than so many from now on."""
        self.limit = limit
        self.halvings += 1


@dataclass
class Runs:
    """The runs that need not be done again, and where those of sweeps are kept as they end."""

    files: Files
    done: dict[tuple[str, int], Answer] = field(default_factory=dict)  # (cell id, run)
    spared: dict[str, float] = field(default_factory=dict)  # cell id → seconds that its runs took when they were made

    def keep(self, cell: Cell, run: int, answer: Answer, seconds: float) -> None:
        """Takes note of a finished run, in the store if it is one of a sweep."""
        self.done[cell.id, run] = answer
        if cell.attack.spec.sweep is not None:
            track = cell.attack.track
            keep(self._of(cell), f"{run}", tracks.get(track).work.rounded(answer), track, seconds)

    def find(self, cells: Sequence[Cell]) -> None:
        """Reads the kept runs of the cells' sweeps."""
        for cell in cells:
            if cell.attack.spec.sweep is None:
                continue
            files = self._of(cell)
            here = {file.name for file in files.listing()}
            for run in range(len(cell.attack.instances)):
                found = read(files, f"{run}", cell.attack.track) if file_name(f"{run}") in here else None
                if found is not None:
                    self.done[cell.id, run] = found[0]
                    self.spared[cell.id] = self.spared.get(cell.id, 0.0) + found[1]

    def _of(self, cell: Cell) -> Files:
        return self.files.within(f"runs/{runs_id(cell)}")


def attack(
    cells: Sequence[Cell],
    targets: Mapping[str, Target],
    device: torch.device,
    memory: int,
    runs: Runs,
    debug: Callable[[Exception], None] | None = None,
) -> tuple[list[list[Answer] | str], Stack]:
    """For each cell the candidates of its runs, or why there are none; and how they were stacked.

    Raises:
        StorageError: a run of a sweep cannot be kept, for which no cell is to blame.
    """
    fit = memory // max(1, run_bytes(cells[0], targets))
    stack = Stack(limit=max(1, min(RUNS_AT_ONCE[device.type], fit)))
    answers: list[list[Answer] | str] = []
    if len(cells) > 1:
        with contextlib.suppress(Exception):  # one of them has spoiled the batch: each alone
            return _attempt(cells, targets, stack, runs), stack
    for cell in cells:
        try:
            answers += _attempt([cell], targets, stack, runs)
        except StorageError:
            raise
        except Exception as error:
            if debug is not None:
                debug(error)
            answers.append(blame(error))
    return answers, stack


def _attempt(cells: Sequence[Cell], targets: Mapping[str, Target], stack: Stack, kept_runs: Runs) -> list[list[Answer] | str]:
    """All runs of the cells that are not done yet, stack by stack."""
    planned = cells[0].attack
    if planned.cls is None:
        return [planned.error for _ in cells]
    track = tracks.get(planned.track).work
    prints = {cell.target_id: track.fingerprint(track.narrow(targets[cell.target_id].release, planned.needs)) for cell in cells}
    left = [(cell, k) for cell in cells for k in range(len(planned.instances)) if (cell.id, k) not in kept_runs.done]
    faults: dict[str, str] = {}
    while left:
        began = time.perf_counter()
        answers = _stacked(planned, left[: stack.limit], targets, stack)
        seconds = (time.perf_counter() - began) / len(answers)
        for (cell, k), (answer, release) in zip(left, answers, strict=False):  # out of memory, a stack answers for its first half
            try:
                if track.fingerprint(release) != prints[cell.target_id]:
                    raise AttackFault(
                        "the attack changed the release that it was given",
                        expected="a release that is only read",
                        hint="clone before writing",
                    )
                kept_runs.keep(cell, k, track.check_answer(answer, release), seconds)
            except AttackFault as fault:
                faults.setdefault(cell.id, blame(fault))
        left = left[len(answers) :]
    return [faults[cell.id] if cell.id in faults else [kept_runs.done[cell.id, k] for k in range(len(planned.instances))] for cell in cells]


def _stacked(
    planned: PlannedAttack, runs: Sequence[tuple[Cell, int]], targets: Mapping[str, Target], stack: Stack
) -> list[tuple[Any, Release]]:
    """One call of reconstruct_batch, each run with its own copy of its release; out of memory, the first half of the runs instead."""
    cls = planned.cls
    assert cls is not None

    def first(count: int) -> tuple[Any, list[Release]]:
        some = runs[:count]
        releases = [tracks.get(planned.track).work.narrow(targets[cell.target_id].release, planned.needs) for cell, _ in some]
        generators = [seeds.generator("attack", runs_id(cell), k) for cell, k in some]
        try:
            with restored():
                return cls.reconstruct_batch([planned.instances[k] for _, k in some], releases, generators), releases
        except SystemExit as error:
            raise PluginExitError(f"the attack called sys.exit({error.code})") from error

    raw, releases = fitting(first, len(runs), stack.halve)
    runs = runs[: len(releases)]
    if not isinstance(raw, list | tuple) or len(raw) != len(runs):
        came = f"{len(raw)} answers" if isinstance(raw, list | tuple) else type(raw).__name__
        raise AttackFault("reconstruct_batch returned the wrong number of answers", expected=f"a list of {len(runs)}, one a run", got=came)
    stack.size = max(stack.size or 0, len(runs))
    return list(zip(raw, releases, strict=True))
