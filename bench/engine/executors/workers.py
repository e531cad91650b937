"""Runs cells in several processes, so that no attack can take more down than its own cells: ``run -j N --timeout 10m``.

Each worker is a fresh process (spawned, never forked: CUDA does not survive a fork) with a GPU of its own where there are several. It is
sent one task at a time: to train the targets of a chunk into the cache, or to run a batch of cells on them. A worker that dies, or that is
killed because a task takes longer than the timeout, is replaced, and the task's cells are tried one by one: only the culprit fails, with
the true reason and the end of its standard error. Rows come back through the pipe, and this process alone stores them.

The processes are kept here and not by a library's pool (pebble 5.2 was tried): a worker that leaves by ``os._exit(0)`` must not be waited
for, an idle one that is killed must not break the pool, timeouts must follow a clock that nobody sets, and what workers print must be read
while they run.
"""

from __future__ import annotations

import collections
import os
import time
from collections.abc import Generator, Mapping, Sequence

from bench.data.blind import for_workers
from bench.engine.canary import partners
from bench.engine.executors.process import Process, heard
from bench.engine.messages import Died, Ready, Setup
from bench.engine.plan import Cell, Plan
from bench.engine.progress import Progress
from bench.engine.queue import Chunk, Job, Queue, places_of, settled, spread, stage
from bench.engine.rows import Result
from bench.engine.stacks import chunks, stacks
from bench.registry import plugin_files


class _Worker(Process):
    """A process of this machine, and what it is doing."""

    home = ""

    def start(self) -> None:
        """See Process."""
        self.job: Job | None = None
        self.chunk: Chunk | None = None
        super().start()

    def give(self, job: Job, places: Mapping[int, int]) -> None:
        """Starts a job."""
        self.job, self.chunk = job, job.chunk
        self.send(job.task(places))


def results(
    waiting: Sequence[Cell],
    plan: Plan,
    device: str,
    progress: Progress,
    deadline: float,
    *,
    jobs: int,
    timeout: float | None = None,
    memory_gib: float | None = None,
    no_cache: bool = False,
    sandbox: str = "off",
) -> Generator[list[Result], None, None]:
    """Results as the tasks end, several cells at a time. Whoever stops asking has all workers killed.

    Args:
        device: cpu or cuda.
        deadline: on the monotonic clock; no task starts after it.
        jobs: worker processes.
        timeout: seconds that a training, or a batch of cells, may take; None: for ever.

    Raises:
        BenchError: the store cannot be written, or workers do not start.
    """
    places = places_of(plan)
    setups = _setups(plan, places, device, jobs, memory_gib, no_cache, sandbox)
    workers: list[_Worker] = []
    try:
        for setup in setups[: max(1, min(jobs, len(waiting)))]:
            workers.append(_Worker(setup))  # one by one: an interrupt in between must find those that run
        ready = workers[0].until_ready()
        cut = spread(list(chunks(waiting, device, ready.memory)), jobs)
        together = partners(waiting, plan.loaded.grid.seeds)
        queue = Queue(collections.deque(Job("train", cells, Chunk(cells, stacks(cells))) for cells in cut), together)
        while True:
            started = time.monotonic() < deadline
            for worker in workers:
                if started and worker.ready and worker.job is None:
                    job = queue.take(worker, [w for w in workers if w.job is not None])
                    if job is not None:
                        progress.stage(stage(job))
                        worker.give(job, places)
            busy = [worker for worker in workers if worker.job is not None]
            if not busy and not (started and queue.jobs):
                return
            for worker in heard(workers, timeout, deadline if queue.jobs else None):
                found, more = _settle(worker, plan, timeout)
                queue.jobs.extendleft(reversed(more))  # what was begun is finished first
                if found:
                    yield found
    finally:
        for worker in workers:
            worker.kill()
            worker.close()


def _setups(
    plan: Plan, places: Mapping[int, int], device: str, jobs: int, memory_gib: float | None, no_cache: bool, sandbox: str = "off"
) -> list[Setup]:
    versions = {places[id(cell.attack)]: cell.attack.version for cell in plan.cells}
    cards = _cards() if device == "cuda" else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = None if "OMP_NUM_THREADS" in os.environ else max(1, cores // jobs)
    made = []
    for number in range(jobs):
        environment = for_workers() | ({"CUDA_VISIBLE_DEVICES": cards[number % len(cards)]} if cards else {})
        sharing = len(range(number % len(cards), jobs, len(cards))) if cards else jobs
        facts = (versions, plugin_files(), device, sharing, threads, memory_gib, no_cache)
        made.append(Setup(os.getpid(), environment, plan.loaded, *facts, sandbox=sandbox))
    return made


def _cards() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    given = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (given or [str(number) for number in range(torch.cuda.device_count())])[: max(1, torch.cuda.device_count())]


def _settle(worker: _Worker, plan: Plan, timeout: float | None) -> tuple[list[Result], list[Job]]:
    """What a worker's answer, or its death, comes to: results, and jobs that are left to do."""
    said, job = worker.outcome(timeout), worker.job
    if isinstance(said.answer, Died):
        worker.restart(said.answer.reason)
    worker.job = None
    return ([], []) if job is None and isinstance(said.answer, (Ready, Died)) else settled(job, said, plan)
