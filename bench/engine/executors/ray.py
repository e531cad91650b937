"""Runs cells on a Ray cluster: ``run --executor ray --address HOST:PORT``.

The plan is cut as for the worker processes of one machine (``executors.workers``), with the same jobs and queue. Each seat on the
cluster is an actor that keeps one worker process on its node (``executors.seat``). Results come back here, and this process alone stores
them, so that work which is done twice is written once.

A seat that is lost, with its node or alone, is replaced wherever the cluster has room, and its job is done again: at first as it was, then
cell by cell. A cell that has been with a lost worker three times, the last time alone, fails. Targets are cached in the store of each
node; attacks on them run on that node, and begin with training elsewhere once it is gone.
"""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.engine.answers import file_name
from bench.engine.canary import partners
from bench.engine.executors.cluster import Cluster, connected, marked, room, store_address
from bench.engine.executors.process import STARTS
from bench.engine.executors.seat import Place, Plugin, Seat, Started, program
from bench.engine.messages import Attacked, Setup, Stopped
from bench.engine.plan import Cell, Plan
from bench.engine.progress import Progress
from bench.engine.queue import Chunk, Job, Queue, fail, places_of, settled, spread, stage
from bench.engine.rows import Result
from bench.engine.stacks import chunks, stacks
from bench.engine.stored import reconstructions
from bench.errors import BenchError
from bench.home import home
from bench.registry import plugin_files

LOSSES = 3  # workers that a cell may have been with when they were lost
WORD = 60.0  # seconds without any worker before the reader is told


class _Seat:
    """A seat as this process sees it: an actor that is replaced when it is lost, and what it is doing."""

    def __init__(self, hire: Callable[[], Any]) -> None:
        self.hire = hire
        self.starts = 0  # since it was last ready
        self.start()

    def start(self) -> None:
        """A fresh actor, wherever the cluster has room for it."""
        self.job: Job | None = None
        self.chunk: Chunk | None = None
        self.started: Started | None = None
        self.starts += 1
        self.actor = self.hire()
        self.ref: Any = self.actor.start.remote()  # what is awaited; None: idle

    @property
    def home(self) -> str:
        """See Hand."""
        return self.started.home if self.started is not None else ""

    def give(self, job: Job, places: Mapping[int, int], timeout: float | None) -> None:
        """Starts a job. Targets are where they are trained, those of one chunk perhaps in several places."""
        if job.kind == "train":
            job.chunk = Chunk(job.cells, job.chunk.stacks, self.home)
        self.job, self.chunk = job, job.chunk
        self.ref = self.actor.run.remote(job.task(places), timeout)


@dataclass
class _Run:
    """What a run knows of its cluster."""

    ray: Any
    plan: Plan
    program: str  # this process's
    nodes: set[str] = field(default_factory=set)  # that were seen to have the same
    losses: collections.Counter[str] = field(default_factory=collections.Counter)  # cell id → workers that were lost with it


def results(
    waiting: Sequence[Cell],
    plan: Plan,
    cluster: Cluster,
    progress: Progress,
    deadline: float,
    *,
    jobs: int | None = None,
    timeout: float | None = None,
    memory_gib: float | None = None,
    no_cache: bool = False,
    sandbox: str = "off",
) -> Generator[list[Result], None, None]:
    """Results as the tasks end, several cells at a time. Whoever stops asking has all workers ended.

    Args:
        deadline: on the monotonic clock; no task starts after it.
        jobs: workers at most; None: as many as the cluster has CPUs, or shares of GPUs, for.
        timeout: seconds that a training, or a batch of cells, may take; None: for ever.

    Raises:
        BenchError: Ray is missing, the cluster cannot be reached, has no room or other code; or a store cannot be written.
    """
    with connected(cluster, jobs) as ray, marked() as token:
        device, gpus, rooms = room(ray, cluster)
        count = max(1, min(sum(rooms) if jobs is None else min(jobs, sum(rooms)), len(waiting)))
        places = places_of(plan)
        setup = Setup(
            parent=0,
            environment={},
            loaded=plan.loaded,
            versions={places[id(cell.attack)]: cell.attack.version for cell in plan.cells},
            plugins=(),
            device=device,
            share=min(count, int(1 / gpus + 1e-9) if gpus else max(rooms)),
            threads=None,
            memory_gib=memory_gib,
            no_cache=no_cache,
            sandbox=sandbox,
            digests={cell.setting.dataset: cell.data_digest for cell in waiting},
        )
        brought = [Plugin(path, Path(path).read_bytes()) for path in plugin_files()]
        place = Place(str(home()), store_address(), token)
        # a seat answers `stop` while it runs a task
        actor = ray.remote(Seat).options(num_cpus=1, num_gpus=gpus, max_concurrency=2, scheduling_strategy="SPREAD")
        run, seats = _Run(ray, plan, program()), list[_Seat]()
        queue: Queue | None = None
        try:
            while len(seats) < count:
                seats.append(_Seat(lambda: actor.remote(setup, brought, place)))
            while True:
                ready = [seat for seat in seats if seat.started is not None]
                if queue is None and ready:
                    memory = min(seat.started.memory for seat in ready if seat.started is not None)
                    cut = spread(list(chunks(waiting, device, memory)), count)
                    together = partners(waiting, plan.loaded.grid.seeds)
                    queue = Queue(collections.deque(Job("train", cells, Chunk(cells, stacks(cells))) for cells in cut), together)
                open_ = time.monotonic() < deadline
                if queue is not None:
                    if ready:
                        _bring_home(queue, ready)
                    for seat in ready:
                        job = queue.take(seat, [s for s in seats if s.job is not None]) if open_ and seat.job is None else None
                        if job is not None:
                            progress.stage(stage(job))
                            seat.give(job, places, timeout)
                    if not any(seat.job for seat in seats) and not (open_ and queue.jobs):
                        return
                heard = _heard(ray, seats, progress, deadline if queue is not None and queue.jobs else None)
                for seat in heard:
                    found, more = _settle(run, seat)
                    if queue is not None:
                        queue.jobs.extendleft(reversed(more))  # what was begun is finished first
                    if found:
                        yield found
        finally:
            _dismiss(ray, seats)


def _bring_home(queue: Queue, ready: Sequence[_Seat]) -> None:
    """Attacks on targets whose node has gone begin again with the training, for whoever takes it."""
    homes = {seat.home for seat in ready}
    lost: dict[int, list[Job]] = {}
    for job in queue.jobs:
        if job.kind == "attack" and job.chunk.home not in homes:
            lost.setdefault(id(job.chunk), []).append(job)
    gone = {id(job) for group in lost.values() for job in group}
    queue.jobs = collections.deque(job for job in queue.jobs if id(job) not in gone)
    for group in lost.values():
        cells = [cell for job in group for cell in job.cells]
        queue.jobs.appendleft(Job("train", cells, Chunk(cells, group[0].chunk.stacks)))


def _heard(ray: Any, seats: Sequence[_Seat], progress: Progress, until: float | None) -> list[_Seat]:
    """Waits until seats have answered or are lost, and returns them; none when ``until`` comes, or after a minute."""
    awaited = {seat.ref: seat for seat in seats if seat.ref is not None}
    now = time.monotonic()
    left = max(0.0, min(WORD, until - now)) if until is not None and until > now else WORD
    found, _ = ray.wait(list(awaited), num_returns=1, timeout=left)
    if found:
        found, _ = ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
    elif left == WORD and all(seat.started is None for seat in seats):
        progress.note("waiting for the cluster: it has no room for a worker at present, or they are slow to start")
    return [awaited[ref] for ref in found]


def _settle(run: _Run, seat: _Seat) -> tuple[list[Result], list[Job]]:
    """What a seat's answer, or its loss, comes to: results, and jobs that are left to do."""
    try:
        said = run.ray.get(seat.ref)
    except run.ray.exceptions.RayError as error:
        return _lost(run, seat, error)
    seat.ref = None
    if isinstance(said, Stopped):
        raise said.error()
    if isinstance(said, Started):
        # asked once a node: who edits a clone while it runs does not stop it
        if said.program != run.program and said.node not in run.nodes:
            raise BenchError(
                f"node {said.node} has another version of this program",
                expected=f"reconbench {run.program}, as here",
                got=f"reconbench {said.program}",
                hint="install the same version on every node, or share one folder",
            )
        run.nodes.add(said.node)
        seat.started, seat.starts = said, 0
        return [], []
    job, seat.job = seat.job, None
    if isinstance(said.answer, Attacked):
        for name, content in said.answer.files:
            reconstructions().put(file_name(name), content)
    return settled(job, said, run.plan)


def _lost(run: _Run, seat: _Seat, error: Exception) -> tuple[list[Result], list[Job]]:
    """A seat that is no more: another takes its place, and its job is done again, or given up.

    Raises:
        BenchError: several in a row were lost before they were ready.
    """
    job, why = seat.job, _why(seat, error)
    with contextlib.suppress(Exception):
        run.ray.kill(seat.actor, no_restart=True)
    if seat.started is None and seat.starts >= STARTS:
        raise BenchError(
            "workers do not start on the cluster",
            expected="nodes with the same versions of Python, Ray and this program",
            got=why,
            hint="python -m bench doctor on each of them",
        )
    seat.start()
    if job is None:
        return [], []
    run.losses.update(cell.id for cell in job.cells)
    most = max(run.losses[cell.id] for cell in job.cells)
    if job.single and most >= LOSSES:
        return fail(job, run.plan, f"lost its worker {most} times, at last because {why}"), []
    return [], [job] if job.single or most == 1 else job.parts()


def _why(seat: _Seat, error: Exception) -> str:
    """What became of a seat, in one line."""
    text = str(error).strip()
    _, _, detail = text.partition("Worker exit detail: ")
    where = f" (node {seat.started.node})" if seat.started is not None else ""
    return " ".join((detail or text).split())[-500:] + where


def _dismiss(ray: Any, seats: Sequence[_Seat]) -> None:
    """Ends all workers, with what their attacks have started, and the actors."""
    with contextlib.suppress(Exception):
        refs = [seat.actor.stop.remote() for seat in seats if seat.started is not None]
        ray.wait(refs, num_returns=len(refs), timeout=5)
    for seat in seats:
        with contextlib.suppress(Exception):
            ray.kill(seat.actor, no_restart=True)
