"""Attacks the targets of a batch: all runs of its cells in stacks that fit in memory, each on a release of its own.

If a stack raises, each cell is tried alone, so that only the culprit fails. Every run gets a copy of its release, narrowed to the attack's
access tier, and a generator named by the cell and the run; a release that comes back changed fails the cell. In a ``Room`` the attack runs
in a process of its own, and its answers come back in the precision in which they are kept. The runs of a sweep are kept one by one as they
end: what is interrupted goes on with the next run, and a longer sweep begins with the runs of a shorter one. A sweep that is raced goes
rung by rung (``race``). It keeps its runs apart and makes a stack again of which one is missing: how a run is rounded hangs on what it is
stacked with, and a resumed race must come to the winners of one that nobody interrupted.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from bench import seeds, tracks
from bench.apart.attempt import attempt
from bench.api import Target
from bench.engine.answers import Answer, file_name, keep, read
from bench.engine.plan import Cell, answer_id, runs_id
from bench.engine.prepare import PlannedAttack
from bench.engine.race import Rung, best
from bench.engine.stacks import RUNS_AT_ONCE, run_bytes
from bench.errors import AttackFault, StorageError
from bench.faults import blame
from bench.files import Files
from bench.memory import fitting

if TYPE_CHECKING:
    from bench.apart.room import Room


@dataclass
class Stack:
    """How many runs went together."""

    limit: int  # runs in one stack at most
    size: int | None = None  # the largest that went through
    halvings: int = 0
    peak: float | None = None  # MiB that the attack's own process took at most, where it had one

    def halve(self, limit: int) -> None:
        """Memory has run out; no more than so many from now on."""
        self.limit = limit
        self.halvings += 1


@dataclass(frozen=True)
class Ended:
    """A run that has ended: with what answer, and on which rung."""

    answer: Answer
    rung: Rung


@dataclass
class Runs:
    """The runs that need not be done again, and where those of sweeps are kept as they end. A run is known by the name that it has on its
    rung."""

    files: Files
    afresh: bool = False  # what was kept before counts for nothing
    done: dict[tuple[str, str], Answer] = field(default_factory=dict)  # (cell id, name of the run)
    spared: dict[tuple[str, str], float] = field(
        default_factory=dict
    )  # of those that were kept: seconds that they took when they were made
    _here: dict[str, set[str]] = field(default_factory=dict)  # cell id → files of its kept runs

    def keep(self, cell: Cell, name: str, answer: Answer, seconds: float) -> None:
        """Takes note of a finished run, in the store if it is one of a sweep."""
        if cell.attack.spec.sweep is not None:
            track = cell.attack.track
            answer = tracks.get(track).work.rounded(answer)  # a race goes by what is kept, as when it is resumed
            keep(self._of(cell), name, answer, track, seconds)
        self.done[cell.id, name] = answer
        self.spared.pop((cell.id, name), None)

    def find(self, cell: Cell, name: str) -> bool:
        """Whether a run is done; reads it where it is one of a sweep that is kept."""
        if (cell.id, name) not in self.done and cell.attack.spec.sweep is not None and not self.afresh:
            files = self._of(cell)
            if cell.id not in self._here:
                self._here[cell.id] = {file.name for file in files.listing()}
            found = read(files, name, cell.attack.track) if file_name(name) in self._here[cell.id] else None
            if found is not None:
                self.done[cell.id, name], self.spared[cell.id, name] = found
        return (cell.id, name) in self.done

    def _of(self, cell: Cell) -> Files:
        return self.files.within(f"runs/{answer_id(cell) if cell.attack.raced else runs_id(cell)}")


def attack(
    cells: Sequence[Cell],
    targets: Mapping[str, Target],
    device: torch.device,
    memory: int,
    runs: Runs,
    debug: Callable[[Exception], None] | None = None,
    room: Room | None = None,
) -> tuple[list[list[Ended] | str], Stack]:
    """For each cell its runs as they ended, or why there are none; and how they were stacked.

    Raises:
        StorageError: a run of a sweep cannot be kept, for which no cell is to blame.
    """
    fit = memory // max(1, run_bytes(cells[0], targets))
    stack = Stack(limit=max(1, min(RUNS_AT_ONCE[device.type], fit)))
    answers: list[list[Ended] | str] = []
    if len(cells) > 1:
        with contextlib.suppress(Exception):  # one of them has spoiled the batch: each alone
            return _attempt(cells, targets, stack, runs, room), stack
    for cell in cells:
        try:
            answers += _attempt([cell], targets, stack, runs, room)
        except StorageError:
            raise
        except Exception as error:
            if debug is not None:
                debug(error)
            answers.append(blame(error))
    return answers, stack


def _attempt(
    cells: Sequence[Cell], targets: Mapping[str, Target], stack: Stack, kept_runs: Runs, room: Room | None
) -> list[list[Ended] | str]:
    """All runs of the cells, rung by rung; of each cell the best by the attack's own account go on to the next."""
    planned = cells[0].attack
    if planned.cls is None:
        return [planned.error for _ in cells]
    going = {cell.id: list(range(len(planned.instances))) for cell in cells}
    ended: dict[str, dict[int, Ended]] = {cell.id: {} for cell in cells}
    faults: dict[str, str] = {}
    for number, rung in enumerate(planned.rungs):
        for cell in cells if number else ():
            if cell.id not in faults:
                try:
                    places = best([ended[cell.id][k].answer for k in going[cell.id]], rung.runs)
                    going[cell.id] = [going[cell.id][place] for place in places]
                except AttackFault as fault:
                    faults[cell.id] = blame(fault)
        runs = [(cell, k) for cell in cells if cell.id not in faults for k in going[cell.id]]
        faults |= _climb(planned, rung, runs, targets, stack, kept_runs, room)
        for cell, k in runs:
            if cell.id not in faults:
                ended[cell.id][k] = Ended(kept_runs.done[cell.id, rung.name(k)], rung)
    return [faults[cell.id] if cell.id in faults else [ended[cell.id][k] for k in sorted(ended[cell.id])] for cell in cells]


def _climb(
    planned: PlannedAttack,
    rung: Rung,
    runs: Sequence[tuple[Cell, int]],
    targets: Mapping[str, Target],
    stack: Stack,
    kept_runs: Runs,
    room: Room | None,
) -> dict[str, str]:
    """The runs of a rung that are not done yet, stack by stack. Returns cell id → what is wrong with an answer of its runs."""
    done = [kept_runs.find(cell, rung.name(k)) for cell, k in runs]
    whole = stack.limit if planned.raced else 1
    left = [run for i, run in enumerate(runs) if not all(done[i - i % whole : i - i % whole + whole])]
    faults: dict[str, str] = {}
    while left:
        began = time.perf_counter()
        answers = _stacked(planned, rung, left[: stack.limit], targets, stack, room)
        seconds = (time.perf_counter() - began) / len(answers)
        for (cell, k), answer in zip(left, answers, strict=False):  # out of memory, a stack answers for its first half
            if isinstance(answer, AttackFault):
                faults.setdefault(cell.id, blame(answer))
            else:
                kept_runs.keep(cell, rung.name(k), answer, seconds)
        left = left[len(answers) :]
    return faults


def _stacked(
    planned: PlannedAttack,
    rung: Rung,
    runs: Sequence[tuple[Cell, int]],
    targets: Mapping[str, Target],
    stack: Stack,
    room: Room | None,
) -> list[Answer | AttackFault]:
    """One call of reconstruct_batch, each run with its own copy of its release; out of memory, the first half of the runs instead."""
    cls = planned.cls
    assert cls is not None
    work = tracks.get(planned.track).work
    apart = room if room is not None and room.origin(planned.spec.name, cls) is not None else None

    def first(count: int) -> list[Answer | AttackFault]:
        some = runs[:count]
        names = [cell.target_id for cell, _ in some]
        attacks = [planned.on(rung, k) for _, k in some]
        releases = [work.narrow(targets[name].release, planned.needs) for name in names]
        generators = [seeds.generator("attack", runs_id(cell), k) for cell, k in some]
        if apart is None:
            prints = {name: work.fingerprint(release) for name, release in dict(zip(names, releases, strict=True)).items()}
            return attempt(cls, work, attacks, releases, [prints[name] for name in names], generators)
        device = next(iter(targets.values())).release.device
        done = apart.attack(planned.spec.name, cls, attacks, releases, names, generators, device)
        stack.peak = max((peak for peak in (stack.peak, done.peak) if peak is not None), default=None)
        return done.answers

    answers = fitting(first, len(runs), stack.halve)
    stack.size = max(stack.size or 0, len(answers))
    return answers
