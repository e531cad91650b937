"""Runs cells on a Ray cluster: ``run --executor ray --address HOST:PORT``.

The plan is cut as for the worker processes of one machine (``executors.workers``), whose jobs and queue these are. Each seat on the
cluster is an actor that keeps one worker process on its node (``executors.seat``). Results come back here, and this process alone stores
them, so that work which is done twice is written once.

A seat that is lost, with its node or alone, is replaced wherever the cluster has room, and its job is done again: at first as it was, then
cell by cell. A cell that has been with a lost worker three times, the last time alone, fails. Targets are cached in the store of each
node; attacks on them run on that node, and begin with training elsewhere once it is gone.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bench.engine.answers import file_name
from bench.engine.executors.process import STARTS
from bench.engine.executors.seat import Place, Plugin, Seat, Started, program
from bench.engine.executors.workers import Chunk, Job, Queue, fail, places_of, settled, spread, stage
from bench.engine.messages import Attacked, Setup, Stopped
from bench.engine.plan import Cell, Plan
from bench.engine.progress import Progress
from bench.engine.rows import Result
from bench.engine.stacks import chunks, stacks
from bench.engine.stored import reconstructions
from bench.errors import BenchError
from bench.files import is_uri, store_files
from bench.home import STORE, home
from bench.registry import plugin_files

LOSSES = 3  # workers that a cell may have been with when they were lost
PATIENCE = 20.0  # seconds that the head of a cluster may take to answer
WORD = 60.0  # seconds without any worker before the reader is told
OBJECTS = 256 * 2**20  # bytes of shared memory for results, in a cluster of this machine alone


class Cluster(NamedTuple):
    """Where to run, and with what."""

    address: str = ""  # HOST:PORT of the head, auto, or local: this machine alone, for this run; "": $RAY_ADDRESS, else local
    device: str = "auto"  # auto, cpu or cuda; auto: cuda where the cluster has GPUs
    gpus: float | None = None  # share of a GPU that a worker gets; None: a whole one


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
) -> Generator[list[Result], None, None]:
    """Results as the tasks end, several cells at a time. Whoever stops asking has all workers ended.

    Args:
        deadline: on the monotonic clock; no task starts after it.
        jobs: workers at most; None: as many as the cluster has CPUs, or shares of GPUs, for.
        timeout: seconds that a training, or a batch of cells, may take; None: for ever.

    Raises:
        BenchError: Ray is missing, the cluster cannot be reached, has no room or other code; or a store cannot be written.
    """
    with _connected(cluster, jobs) as ray, _token() as token:
        device, gpus, room = _room(ray, cluster)
        count = max(1, min(sum(room) if jobs is None else min(jobs, sum(room)), len(waiting)))
        places = places_of(plan)
        setup = Setup(
            parent=0,
            environment={},
            loaded=plan.loaded,
            versions={places[id(cell.attack)]: cell.attack.version for cell in plan.cells},
            plugins=(),
            device=device,
            share=min(count, int(1 / gpus + 1e-9) if gpus else max(room)),
            threads=None,
            memory_gib=memory_gib,
            no_cache=no_cache,
            digests={cell.setting.dataset: cell.data_digest for cell in waiting},
        )
        brought = [Plugin(path, Path(path).read_bytes()) for path in plugin_files()]
        place = Place(str(home()), _store(), token)
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
                    queue = Queue(collections.deque(Job("train", cells, Chunk(cells, stacks(cells))) for cells in cut))
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


# --------------------------------------------------------------------------------------------------------------- the cluster


@contextlib.contextmanager
def _connected(cluster: Cluster, jobs: int | None) -> Iterator[Any]:
    """The module ``ray``, connected. A connection that was there before is used and stays.

    Raises:
        BenchError: Ray is missing, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise BenchError(
            "Ray is not installed", expected="the package ray, for --executor ray", got=str(error), hint="pip install 'reconbench[ray]'"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    address = cluster.address or os.environ.get("RAY_ADDRESS") or "local"
    _check_address(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    alone: dict[str, Any] = {} if address != "local" else {"num_cpus": jobs, "object_store_memory": OBJECTS, "include_dashboard": False}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **alone)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise _unreachable(address, str(error)) from error
    finally:
        if threading.current_thread() is threading.main_thread():  # Ray has put a handler of its own there
            signal.signal(signal.SIGTERM, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Ray itself tries for minutes, and then ends the process.

    Raises:
        BenchError: nobody answers there, or not as the head of a cluster of this version of Ray.
    """
    if address in ("auto", "local"):
        return
    host, colon, port = address.rpartition(":")
    if not colon or "//" in address or not port.isdecimal():
        raise BenchError(
            f"--address {address}: not understood",
            expected="HOST:PORT of the cluster's head, as `ray start --head` prints it, or auto",
            got=repr(address),
            hint="run this on a node of the cluster, which may be one without a GPU",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise _unreachable(address, f"no answer in {PATIENCE:g} s") from error
    if done.returncode:
        raise _unreachable(address, ((done.stderr or done.stdout).strip().splitlines() or ["it is not well"])[-1])


def _unreachable(address: str, got: str) -> BenchError:
    return BenchError(
        "a Ray cluster of this machine alone does not start" if address == "local" else f"no Ray cluster answers at {address}",
        expected="a head that runs the same versions of Ray and Python",
        got=" ".join(got.split())[:500],
        hint="ray start --head here, and --address auto"
        if address == "local"
        else "ray start --head on one machine, ray start --address HEAD:6379 on the others, and ray status",
    )


@contextlib.contextmanager
def _token() -> Iterator[str]:
    """A file in this run's store, by which a node knows whether it shares the store."""
    name = f".ray-{secrets.token_hex(8)}"
    store_files().put(name, b"a run on a Ray cluster is under way")
    try:
        yield name
    finally:
        store_files().delete(name)


def _store() -> str:
    """RECONBENCH_STORE as it is understood wherever the folder that this runs in is not."""
    store = os.environ.get(STORE, "")
    return store if not store or is_uri(store) else str(Path(store).expanduser().absolute())


def _room(ray: Any, cluster: Cluster) -> tuple[str, float, list[int]]:
    """cpu or cuda, the share of a GPU that a worker gets (0: none), and how many workers each node has room for.

    Raises:
        BenchError: an impossible share, or no room at all.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    device = cluster.device
    if device == "auto":
        device = "cuda" if cluster.gpus or (cluster.gpus is None and any(node.get("GPU") for node in nodes)) else "cpu"
    share = 0.0 if device == "cpu" else cluster.gpus or 1.0
    room = [int(node.get("CPU", 0)) for node in nodes]
    if share:
        room = [min(cpus, int(node.get("GPU", 0)) * int(1 / share + 1e-9)) for cpus, node in zip(room, nodes, strict=True)]
    if not sum(room):
        has = {name: sum(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
        raise BenchError(
            "the cluster has no room for a worker",
            expected=f"a node with 1 CPU and {share:g} GPU" if share else "a node with 1 CPU",
            got=f"{len(nodes)} nodes with {has['CPU']:g} CPUs and {has['GPU']:g} GPUs in all",
            hint="--device cpu, or ray start with --num-cpus and --num-gpus" if share else "ray start with --num-cpus",
        )
    return device, share, room


# ------------------------------------------------------------------------------------------------------------------ the work


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
