"""A worker process: trains and attacks what it is sent, answers through a pipe, and dies with its parent.

Nothing heavy is imported at the top: which GPU the process sees is decided before torch is there. What attacks print, to either stream and
from whatever language, goes into a second pipe, of which the parent keeps the end.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from bench.engine.messages import LOST_CONTEXT, Attacked, Fault, Ready, Reply, Setup, Stopped, Task, Trained
from bench.notes import Notes
from bench.posix import dies_with_its_parent

if TYPE_CHECKING:
    from bench.apart.room import Room
    from bench.api import Row, Target
    from bench.engine.plan import Cell
    from bench.engine.prepare import PlannedAttack


def main(tasks: Connection, streams: Connection, setup: Setup) -> None:
    """The life of a worker."""
    _apart(setup.parent)
    for stream in (sys.stdout, sys.stderr):  # as the parent reads them, before they become its pipe
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    for number in (1, 2):
        os.dup2(streams.fileno(), number)
    streams.close()
    os.environ.update(setup.environment)
    import faulthandler

    faulthandler.enable()
    try:
        worker = _Worker(setup)
        tasks.send(Ready(worker.memory))
    except Exception as error:
        tasks.send(_stopped(error))
        return
    while True:
        try:
            task = tasks.recv()
        except EOFError:  # the parent has gone
            return
        answer = worker.answer(task)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # the attack may have closed it
                stream.flush()
        tasks.send(answer)


def _apart(parent: int) -> None:
    """In a process group of its own, so that what an attack starts dies with it and Ctrl-C in a terminal is the parent's to answer; first
    to go when memory runs out; and gone when the parent is."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    dies_with_its_parent()
    if os.getppid() != parent:
        os._exit(1)


class _Worker:
    """The modules, attacks and targets that a worker has at hand."""

    room: Room | None = None  # where attacks run; None: here

    def __init__(self, setup: Setup) -> None:
        import torch

        from bench import registry
        from bench.apart import described
        from bench.apart.room import Room
        from bench.engine.prepare import prepare
        from bench.errors import BenchError
        from bench.memory import budget
        from bench.precision import check

        if setup.threads is not None:
            torch.set_num_threads(setup.threads)
        if setup.sandbox != "off":
            self.room = Room(setup.sandbox, gpu=setup.device == "cuda", alone=False)
        for path in setup.plugins:
            registry.load_plugin(path) if self.room is None else described.load_plugin(path, self.room)
        self.setup, self.grid = setup, setup.loaded.grid
        if self.room is not None:
            described.load_packages((spec.name for spec in self.grid.attacks), self.room)
        self.attacks: dict[int, PlannedAttack] = {place: prepare(self.grid.attacks[place]) for place in setup.versions}
        for place, version in setup.versions.items():
            if self.attacks[place].version != version:
                raise BenchError(
                    f"attack '{self.attacks[place].spec.name}' has changed on disk since the run began",
                    expected=f"version {version}",
                    got=f"version {self.attacks[place].version}",
                    hint="run the same command again; finished cells are kept",
                )
        for name, digest in setup.digests.items():
            self._check_data(name, digest)
        self.device = torch.device(setup.device)
        check(self.device)
        self.memory = budget(self.device, setup.memory_gib) // setup.share
        self.held: dict[str, Target] = {}  # targets of the chunk that was used last
        self.held_for = ""  # its track: tracks may share targets, each with a release of its own
        self.notes = Notes()
        warnings.showwarning = self.notes

    def answer(self, task: Task) -> Reply:
        """Does a task. Whatever goes wrong is an answer too."""
        from bench.faults import blame, is_full

        cells = [self._cell(sent) for sent in task.cells]
        try:
            if task.kind == "train":
                return self._train(cells)
            rows = [(r.cell.id, r.row, r.images) for r in self._attack(cells)]
            return Attacked(rows, self.notes.taken(), self._kept(rows) if self.setup.returns else ())
        except Exception as error:
            return _stopped(error) if is_full(error) else Fault(blame(error))

    def _check_data(self, name: str, digest: str) -> None:
        from bench import registry
        from bench.errors import BenchError

        source = registry.resolve_data(name)
        missing = source.missing()
        found = missing.partition("; ")[0] if missing else source.digest()
        if found != digest:
            raise BenchError(
                f"data set '{name}' is not what the run began with",
                expected=f"digest {digest}",
                got=found,
                hint="the same files on every machine, under the same name",
            )

    @staticmethod
    def _kept(rows: Sequence[tuple[str, Row, list[Row]]]) -> list[tuple[str, bytes]]:
        from bench.engine.answers import file_name
        from bench.engine.stored import reconstructions

        files = reconstructions()
        return [(name, files.read(file_name(name))) for name, row, _ in rows if row["status"] == "ok"]

    def _cell(self, sent: Mapping[str, Any]) -> Cell:
        from bench.engine.plan import Cell

        return Cell(**{**sent, "attack": self.attacks[sent["attack"]]})

    def _train(self, cells: Sequence[Cell]) -> Trained:
        from bench.engine.stacks import batches

        if self.room is not None:
            self.room.warm({cell.attack.spec.name: cell.attack.cls for cell in cells})
        faults = self._obtain(cells, afresh=self.setup.no_cache)
        by_attack: dict[int, list[Cell]] = {}
        for cell in cells:
            if cell.target_id not in faults:
                by_attack.setdefault(id(cell.attack), []).append(cell)
        cut = [batch for mine in by_attack.values() for batch in batches(mine, self.held, self.device, self.memory)]
        return Trained(faults, [[cell.id for cell in batch] for batch in cut], self.notes.taken())

    def _attack(self, cells: Sequence[Cell]) -> Iterator[Any]:
        from bench.engine.batch import run_batch
        from bench.engine.rows import failed
        from bench.engine.stored import reconstructions

        faults: Mapping[str, str] = {}
        if self.held_for != cells[0].attack.track or any(cell.target_id not in self.held for cell in cells):
            faults = self._obtain(cells)
        for cell in cells:
            if cell.target_id in faults:
                yield failed(cell, self.grid, faults[cell.target_id])
        left = [cell for cell in cells if cell.target_id not in faults]
        if left:
            folder, no_cache = reconstructions(), self.setup.no_cache
            yield from run_batch(left, self.held, self.grid, folder, self.device, self.memory, no_cache=no_cache, room=self.room)
            self._check_context()

    def _obtain(self, cells: Sequence[Cell], afresh: bool = False) -> dict[str, str]:
        from bench.engine.stored import cache_of
        from bench.engine.training import train

        self.held = {}  # before others take the memory
        self.held_for = cells[0].attack.track
        settings = {cell.target_id: cell.setting for cell in cells}
        self.held, faults = train(settings, cells[0].attack.track, cache_of(afresh), self.device)
        if faults:
            self._check_context()
        return faults

    def _check_context(self) -> None:
        """After a fault on a GPU the process can use it no more: then it ends, its cells are tried one by one, and another takes over."""
        if self.device.type != "cuda":
            return
        import torch

        try:
            torch.cuda.synchronize(self.device)
            torch.ones(1, device=self.device).sum().item()
        except Exception as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(LOST_CONTEXT)


def _stopped(error: Exception) -> Stopped:
    from bench.errors import BenchError

    if isinstance(error, BenchError):
        return Stopped(error.what, error.expected, error.got, error.hint)
    return Stopped(
        "a worker process cannot go on",
        "free space, and a store that can be read and written",
        f"{type(error).__name__}: {error}",
        "run the same command again; finished cells are kept",
    )
