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
import contextlib
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from bench.engine import child
from bench.engine.cell import Result, failed
from bench.engine.child import Attacked, Fault, Ready, Setup, Stopped, Task, Trained
from bench.engine.local import chunks, stacks
from bench.engine.plan import Cell, Plan
from bench.engine.progress import Progress
from bench.errors import BenchError
from bench.registry import plugin_files

TAIL = 2000  # characters of standard error that a row keeps
KEPT = 1 << 15  # bytes of it at hand, of which a row keeps the end
STARTS = 3  # workers in a row that may die before they are ready
TRIES = 2  # of a cell alone whose worker is killed from outside: the machine may have run out of memory for the neighbour's sake


@dataclass(eq=False)
class _Chunk:
    """Targets that are trained, and attacked, in one stack."""

    cells: list[Cell]
    stacks: bool  # whether its batches may go to several workers at once


@dataclass
class _Job:
    """A task that is waiting, or running."""

    kind: str  # train or attack
    cells: list[Cell]
    chunk: _Chunk
    tries: int = 0  # times that a worker was killed from outside over it

    @property
    def single(self) -> bool:
        """Whether there is nothing left to split: one target to train, or one cell to attack."""
        return len({cell.target_id if self.kind == "train" else cell.id for cell in self.cells}) == 1

    def parts(self) -> list[_Job]:
        """One job a target, or one a cell."""
        groups: dict[str, list[Cell]] = {}
        for cell in self.cells:
            groups.setdefault(cell.target_id if self.kind == "train" else cell.id, []).append(cell)
        return [replace(self, cells=cells) for cells in groups.values()]


@dataclass
class _Queue:
    """The jobs that nobody has taken yet."""

    jobs: collections.deque[_Job] = field(default_factory=collections.deque)

    def take(self, worker: _Process, busy: Sequence[_Process]) -> _Job | None:
        """The best job for a worker: of the chunk whose targets it holds, else a training, else help with another's chunk."""
        taken = {id(other.chunk) for other in busy if other is not worker and other.chunk is not None and not other.chunk.stacks}
        free = [job for job in self.jobs if id(job.chunk) not in taken]
        ranked = [
            [job for job in free if job.chunk is worker.chunk and job.kind == "attack"],
            [job for job in free if job.kind == "train"],
            free,
        ]
        job = next((jobs[0] for jobs in ranked if jobs), None)
        if job is not None:
            self.jobs = collections.deque(other for other in self.jobs if other is not job)
        return job


class _Process:
    """A worker as its parent sees it: a process that is replaced when it dies, its two pipes, and what it is doing."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.starts = 0  # since it was last ready
        self.chunk: _Chunk | None = None  # whose targets it holds
        self.process: multiprocessing.process.BaseProcess | None = None
        self.start()

    def start(self) -> None:
        """A fresh process in place of the one before."""
        self.job: _Job | None = None
        self.ready, self.overdue, self.chunk = False, False, None
        self.began = 0.0
        self.tail, self.deaf = b"", False
        context = multiprocessing.get_context("spawn")
        self.tasks, theirs = context.Pipe()
        self.streams, write = context.Pipe(duplex=False)
        os.set_blocking(self.streams.fileno(), False)
        self.starts += 1
        process = context.Process(target=child.main, args=(theirs, write, self.setup), name="reconbench worker")
        try:
            process.start()
        finally:
            theirs.close()
            write.close()
        self.process = process

    def send(self, job: _Job, places: Mapping[int, int]) -> None:
        """Starts a job. A worker that has died meanwhile is found out when it is waited for."""
        self.read()
        self.tail = b""
        self.job, self.chunk, self.began = job, job.chunk, time.monotonic()
        with contextlib.suppress(OSError):
            self.tasks.send(Task(job.kind, [child.pack(cell, places[id(cell.attack)]) for cell in job.cells]))  # type: ignore[arg-type]

    def read(self) -> None:
        """Takes what the worker has printed out of the pipe and keeps the end; at most 1 MiB at a time, since some print for ever."""
        for _ in range(16):
            try:
                block = os.read(self.streams.fileno(), 1 << 16)
            except BlockingIOError:
                return
            except OSError:
                block = b""
            if not block:  # nobody can write any more: the process is dead, or the attack has closed its streams
                self.deaf = True
                return
            self.tail = (self.tail + block)[-KEPT:]

    @property
    def stderr(self) -> str | None:
        """The end of what the job has printed so far, or None."""
        self.read()
        lines = self.tail.decode(errors="replace").splitlines()
        # Python ends the account of a crash with the names of all compiled modules
        return "\n".join(line for line in lines if not line.startswith("Extension modules: ")).strip()[-TAIL:] or None

    def kill(self) -> int:
        """Ends the process and all that it has started; returns its exit code, negative for a signal."""
        process = self.process
        if process is None:
            return 0
        assert process.pid is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
        code = process.exitcode
        assert code is not None
        return code

    def close(self) -> None:
        """The process is dead; its pipes go too."""
        self.tasks.close()
        self.streams.close()


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
    places = _places(plan)
    setups = _setups(plan, places, device, jobs, memory_gib, no_cache)
    workers: list[_Process] = []
    try:
        for setup in setups[: max(1, min(jobs, len(waiting)))]:
            workers.append(_Process(setup))  # one by one: an interrupt in between must find those that run
        ready = _first_ready(workers[0])
        cut = _spread(list(chunks(waiting, device, ready.memory)), jobs)
        queue = _Queue(collections.deque(_Job("train", cells, _Chunk(cells, stacks(cells))) for cells in cut))
        while True:
            started = time.monotonic() < deadline
            for worker in workers:
                if started and worker.ready and worker.job is None:
                    job = queue.take(worker, [w for w in workers if w.job is not None])
                    if job is not None:
                        progress.stage(_stage(job))
                        worker.send(job, places)
            busy = [worker for worker in workers if worker.job is not None]
            if not busy and not (started and queue.jobs):
                return
            for worker in _heard(workers, timeout, deadline if queue.jobs else None):
                found, more = _settle(worker, plan, timeout)
                queue.jobs.extendleft(reversed(more))  # what was begun is finished first
                if found:
                    yield found
    finally:
        for worker in workers:
            worker.kill()
            worker.close()


def _places(plan: Plan) -> dict[int, int]:
    """id of a planned attack → its place in the grid's list. The cells of the first setting name them all, in order."""
    found: dict[int, int] = {}
    for cell in plan.cells:
        found.setdefault(id(cell.attack), len(found))
    return found


def _setups(plan: Plan, places: Mapping[int, int], device: str, jobs: int, memory_gib: float | None, no_cache: bool) -> list[Setup]:
    versions = {places[id(cell.attack)]: cell.attack.version for cell in plan.cells}
    cards = _cards() if device == "cuda" else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = None if "OMP_NUM_THREADS" in os.environ else max(1, cores // jobs)
    made = []
    for number in range(jobs):
        environment = {"CUDA_VISIBLE_DEVICES": cards[number % len(cards)]} if cards else {}
        sharing = len(range(number % len(cards), jobs, len(cards))) if cards else jobs
        made.append(Setup(os.getpid(), environment, plan.loaded, versions, plugin_files(), device, sharing, threads, memory_gib, no_cache))
    return made


def _cards() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    given = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (given or [str(number) for number in range(torch.cuda.device_count())])[: max(1, torch.cuda.device_count())]


def _first_ready(worker: _Process) -> Ready:
    """Waits for the first worker: its memory says how the cells are cut."""
    while True:
        for one in _heard([worker], None, None):
            answer = _answer(one)
            if isinstance(answer, Ready):
                one.ready, one.starts = True, 0
                return answer
            if isinstance(answer, Stopped):
                raise BenchError(answer.what, expected=answer.expected, got=answer.got, hint=answer.hint)
            _restart(one, _cause(one.kill()))


def _spread(cut: list[list[Cell]], jobs: int) -> list[list[Cell]]:
    """Halves the largest chunks until every worker has one to begin with, where there are so many targets."""
    while len(cut) < jobs:
        targets = [list(dict.fromkeys(cell.target_id for cell in cells)) for cells in cut]
        most = max(range(len(cut)), key=lambda i: len(targets[i]))
        if len(targets[most]) < 2:
            break
        first = set(targets[most][: (len(targets[most]) + 1) // 2])
        halves = [[c for c in cut[most] if c.target_id in first], [c for c in cut[most] if c.target_id not in first]]
        cut = [*cut[:most], *halves, *cut[most + 1 :]]
    return cut


def _heard(workers: Sequence[_Process], timeout: float | None, until: float | None) -> list[_Process]:
    """Waits until workers have answered, died, or outstayed the timeout (those are killed), and returns them; none when ``until`` comes."""
    while True:
        now = time.monotonic()
        ends = [worker.began + timeout for worker in workers if worker.job is not None] if timeout is not None else []
        ends += [until] if until is not None and until > now else []
        left = max(0.0, min(ends) - now) if ends else None
        if left == float("inf"):
            left = None
        sources: dict[Any, _Process] = {}
        for worker in workers:
            assert worker.process is not None
            sources |= dict.fromkeys((worker.tasks, worker.process.sentinel, *([] if worker.deaf else [worker.streams])), worker)
        ready = wait(list(sources), left)
        for source in ready:
            if isinstance(source, Connection) and source is sources[source].streams:
                sources[source].read()
        found = {id(sources[s]): sources[s] for s in ready if s is not sources[s].streams}
        for worker in workers:
            late = timeout is not None and worker.job is not None and time.monotonic() >= worker.began + timeout
            if late and id(worker) not in found:
                worker.overdue = True
                worker.kill()
                found[id(worker)] = worker
        if found or (until is not None and now < until <= time.monotonic()):
            return list(found.values())


def _answer(worker: _Process) -> Any:
    """What the worker says, or None if it is dead."""
    try:
        return worker.tasks.recv() if worker.tasks.poll() else None
    except (EOFError, OSError):
        return None


def _settle(worker: _Process, plan: Plan, timeout: float | None) -> tuple[list[Result], list[_Job]]:
    """What a worker's answer, or its death, comes to: results, and jobs that are left to do."""
    answer, job = _answer(worker), worker.job
    for note in getattr(answer, "notes", ()):
        warnings.warn(note, stacklevel=2)
    if isinstance(answer, Ready):
        worker.ready, worker.starts = True, 0
        return [], []
    if isinstance(answer, Stopped):
        raise BenchError(answer.what, expected=answer.expected, got=answer.got, hint=answer.hint)
    if answer is None:
        code = worker.kill()
        reason = f"exceeded {in_words(timeout)}" if worker.overdue and timeout is not None else _cause(code)
        overdue, said = worker.overdue, worker.stderr
        _restart(worker, reason)
        return ([], []) if job is None else _died(job, plan, reason, said, overdue, outside=code == -signal.SIGKILL and not overdue)
    assert job is not None
    worker.job = None
    if isinstance(answer, Fault):
        return _died(job, plan, answer.reason, worker.stderr, overdue=False, outside=False)
    cells = {cell.id: cell for cell in job.cells}
    if isinstance(answer, Trained):
        lost = [cell for cell in job.cells if cell.target_id in answer.faults]
        faults = [failed(cell, plan.loaded.grid, answer.faults[cell.target_id], {"stderr": worker.stderr}) for cell in lost]
        return faults, [_Job("attack", [cells[name] for name in batch], job.chunk) for batch in answer.batches]
    assert isinstance(answer, Attacked)
    found = []
    for name, row, images in answer.rows:
        more = {} if row["status"] == "ok" else {"stderr": worker.stderr}
        found.append(Result(cells[name], {**row, **more}, images))
    return found, []


def _died(job: _Job, plan: Plan, reason: str, stderr: str | None, overdue: bool, outside: bool) -> tuple[list[Result], list[_Job]]:
    """A job that cost its worker: each of its cells alone, or their failure."""
    if not job.single:
        return [], job.parts()
    if outside and job.tries + 1 < TRIES:
        return [], [replace(job, tries=job.tries + 1)]
    reason = f"training: {reason}" if job.kind == "train" else reason
    status = "timeout" if overdue else "failed"
    return [failed(cell, plan.loaded.grid, reason, {"stderr": stderr}, status) for cell in job.cells], []


def _restart(worker: _Process, reason: str) -> None:
    """Puts a fresh process in place of a dead one.

    Raises:
        BenchError: several in a row have died before they were ready.
    """
    if not worker.ready and worker.starts >= STARTS:
        raise BenchError(
            "worker processes do not start",
            expected="processes that import the program and its plug-ins",
            got=f"{reason}" + (f"; {worker.stderr.splitlines()[-1]}" if worker.stderr else ""),
            hint="-j 1 runs everything in one process",
        )
    worker.close()
    worker.start()


def _cause(code: int) -> str:
    """An exit code in words."""
    if code == child.LOST_CONTEXT:
        return "the GPU no longer answered after it, and its worker process was replaced"
    if code >= 0:
        return f"ended its process with exit code {code}"
    name = (signal.strsignal(-code) or "unknown").lower()
    more = "from outside, as the system does when memory runs out" if -code == signal.SIGKILL else name
    return f"killed by signal {-code} ({more})"


def _stage(job: _Job) -> str:
    count = len({cell.target_id for cell in job.cells})
    what = f"{count} target{'' if count == 1 else 's'}"
    return f"training {what}" if job.kind == "train" else f"{job.cells[0].attack.spec.name} on {what}"


def in_words(seconds: float) -> str:
    """A timeout as reasons name it: ``90 s``, ``10 min``, ``1 h``."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
