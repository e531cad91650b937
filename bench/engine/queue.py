"""What is left to do when several workers share a plan: jobs, who takes which, and what is left after each.

A job is a task with its cells: to train the targets of a chunk, or to run a batch on them. A job whose worker died is split, and its cells
are tried one by one, so that only the culprit fails.
"""

from __future__ import annotations

import collections
import warnings
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from bench.engine.messages import Attacked, Died, Fault, Outcome, Stopped, Task, Trained, pack
from bench.engine.plan import Cell, Plan
from bench.engine.rows import Result, failed

TRIES = 2  # of a cell alone whose worker is killed from outside: the machine may have run out of memory for the neighbour's sake


@dataclass(eq=False)
class Chunk:
    """Targets that are trained, and attacked, in one stack."""

    cells: list[Cell]
    stacks: bool  # whether its batches may go to several workers at once
    home: str = ""  # where its targets are cached: the store of those workers that name it too


@dataclass
class Job:
    """A task that is waiting, or running."""

    kind: Literal["train", "attack"]
    cells: list[Cell]
    chunk: Chunk
    tries: int = 0  # times that a worker was killed from outside over it

    @property
    def single(self) -> bool:
        """Whether there is nothing left to split: one target to train, or one cell to attack."""
        return len({cell.target_id if self.kind == "train" else cell.id for cell in self.cells}) == 1

    def parts(self) -> list[Job]:
        """One job a target, or one a cell."""
        groups: dict[str, list[Cell]] = {}
        for cell in self.cells:
            groups.setdefault(cell.target_id if self.kind == "train" else cell.id, []).append(cell)
        return [replace(self, cells=cells) for cells in groups.values()]

    def task(self, places: Mapping[int, int]) -> Task:
        """What a worker is sent."""
        return Task(self.kind, [pack(cell, places[id(cell.attack)]) for cell in self.cells])


class Hand(Protocol):
    """Who takes jobs."""

    job: Job | None
    chunk: Chunk | None  # whose targets it holds

    @property
    def home(self) -> str:
        """Its cache of targets, as in Chunk."""


@dataclass
class Queue:
    """The jobs that nobody has taken yet."""

    jobs: collections.deque[Job] = field(default_factory=collections.deque)
    partners: Mapping[str, str] = field(default_factory=dict)  # cell id → another target that it needs trained (`bench.engine.canary`)

    def take(self, worker: Hand, busy: Sequence[Hand]) -> Job | None:
        """The best job for a worker: of the chunk whose targets it holds, else a training, else help with another's chunk."""
        taken = {id(other.chunk) for other in busy if other is not worker and other.chunk is not None and not other.chunk.stacks}
        here = [job for job in self.jobs if job.kind == "train" or job.chunk.home == worker.home]
        left = [job for job in (*self.jobs, *(other.job for other in busy)) if job is not None and job.kind == "train"]
        untrained = {cell.target_id for job in left for cell in job.cells} if self.partners else set()
        free = [job for job in here if id(job.chunk) not in taken and not self._waits(job, untrained)]
        ranked = [
            [job for job in free if job.chunk is worker.chunk and job.kind == "attack"],
            [job for job in free if job.kind == "train"],
            free,
        ]
        job = next((jobs[0] for jobs in ranked if jobs), None)
        if job is not None:
            self.jobs = collections.deque(other for other in self.jobs if other is not job)
        return job

    def _waits(self, job: Job, untrained: Set[str]) -> bool:
        """Whether a target that the job needs beside its own is yet to be trained, here or by another worker."""
        return job.kind == "attack" and any(self.partners.get(cell.id) in untrained for cell in job.cells)


def spread(cut: list[list[Cell]], jobs: int) -> list[list[Cell]]:
    """Halves the largest chunks until every worker has one to begin with, where there are so many targets, and none has more than half a
    worker's share of them: else one worker would still train when the others have nothing left."""
    total = len({cell.target_id for cells in cut for cell in cells})
    most_targets = total if jobs == 1 else -(-total // (2 * jobs))
    while True:
        targets = [list(dict.fromkeys(cell.target_id for cell in cells)) for cells in cut]
        most = max(range(len(cut)), key=lambda i: len(targets[i]), default=0)
        if not cut or len(targets[most]) < 2 or (len(cut) >= jobs and len(targets[most]) <= most_targets):
            return cut
        first = set(targets[most][: (len(targets[most]) + 1) // 2])
        halves = [[c for c in cut[most] if c.target_id in first], [c for c in cut[most] if c.target_id not in first]]
        cut = [*cut[:most], *halves, *cut[most + 1 :]]


def places_of(plan: Plan) -> dict[int, int]:
    """id of a planned attack → its place in the grid's list. The cells of the first setting name them all, in order."""
    found: dict[int, int] = {}
    for cell in plan.cells:
        found.setdefault(id(cell.attack), len(found))
    return found


def settled(job: Job | None, said: Outcome, plan: Plan) -> tuple[list[Result], list[Job]]:
    """What came of a job: results, and jobs that are left to do.

    Raises:
        BenchError: the machine is to blame, or the worker could not be set up.
    """
    answer = said.answer
    for note in getattr(answer, "notes", ()):
        warnings.warn(note, stacklevel=2)
    if isinstance(answer, Stopped):
        raise answer.error()
    assert job is not None
    if isinstance(answer, Died):
        return _died(job, plan, answer, said.stderr)
    if isinstance(answer, Fault):
        return _died(job, plan, Died(answer.reason), said.stderr)
    cells = {cell.id: cell for cell in job.cells}
    if isinstance(answer, Trained):
        lost = [cell for cell in job.cells if cell.target_id in answer.faults]
        faults = [failed(cell, plan.loaded.grid, answer.faults[cell.target_id], {"stderr": said.stderr}) for cell in lost]
        return faults, [Job("attack", [cells[name] for name in batch], job.chunk) for batch in answer.batches]
    assert isinstance(answer, Attacked)
    found = []
    for name, row, images in answer.rows:
        more = {} if row["status"] == "ok" else {"stderr": said.stderr}
        found.append(Result(cells[name], {**row, **more}, images))
    return found, []


def _died(job: Job, plan: Plan, died: Died, stderr: str | None) -> tuple[list[Result], list[Job]]:
    """A job that cost its worker: each of its cells alone, or their failure."""
    if not job.single:
        return [], job.parts()
    if died.outside and job.tries + 1 < TRIES:
        return [], [replace(job, tries=job.tries + 1)]
    return fail(job, plan, died.reason, stderr, "timeout" if died.overdue else "failed"), []


def fail(job: Job, plan: Plan, reason: str, stderr: str | None = None, status: str = "failed") -> list[Result]:
    """A failed row for each cell of a job."""
    reason = f"training: {reason}" if job.kind == "train" else reason
    return [failed(cell, plan.loaded.grid, reason, {"stderr": stderr}, status) for cell in job.cells]


def stage(job: Job) -> str:
    count = len({cell.target_id for cell in job.cells})
    what = f"{count} target{'' if count == 1 else 's'}"
    return f"training {what}" if job.kind == "train" else f"{job.cells[0].attack.spec.name} on {what}"
