"""A worker process on a node of a Ray cluster: an actor that starts it, passes tasks on, and kills it when it takes too long.

The actor itself runs no attack, so that whatever an attack does to its process, the actor lives on to say how it ended. Like
``executors.process`` it imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import bench
from bench import registry
from bench.engine.executors.process import Process, heard
from bench.engine.messages import Died, Outcome, Setup, Stopped, Task
from bench.errors import BenchError
from bench.files import is_uri, store_files
from bench.home import STORE, home

# What rows follow from, beside plug-ins given by file: where it differs, machines would write other rows for the same cell.
PROGRAM = (
    "bench/api",
    "bench/apart",
    "bench/seeds.py",
    "bench/data",
    "bench/engine",
    "bench/metrics",
    "bench/targets",
    "bench/tracks",
    "attacks",
    "defenses",
)


class Plugin(NamedTuple):
    """A file given by --plugin, which other machines need not have."""

    path: str
    content: bytes


class Place(NamedTuple):
    """Where the run has its files."""

    home: str  # RECONBENCH_HOME
    store: str  # RECONBENCH_STORE; "": there is none
    token: str  # name of a file in the store while the run lasts: who finds it shares the store


class Started(NamedTuple):
    """The worker is ready."""

    memory: int  # bytes that a stack may plan to use
    home: str  # what names the store that it uses: the run's, or that of its node
    program: str
    node: str  # host name


@functools.cache
def program() -> str:
    """Version and digest of the code that makes rows, as in ``0.1.0, code 1a2b3c4d``."""
    digest = hashlib.sha256()
    for part in PROGRAM:
        path = registry.ROOT / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(registry.ROOT).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return f"{bench.__version__}, code {digest.hexdigest()[:8]}"


class Seat:
    """The actor.

    Args:
        setup: the worker's, but for what only the node knows: parent, plug-in files, environment.
    """

    def __init__(self, setup: Setup, plugins: Sequence[Plugin], place: Place) -> None:
        self.setup, self.plugins, self.place = setup, plugins, place
        self.process: Process | None = None

    def start(self) -> Started | Stopped:
        """Starts the worker; returns when it is ready, or why it cannot be."""
        import ray

        # a spawned process runs its parent's main module again, and Ray's would import Ray
        vars(sys.modules["__main__"]).pop("__file__", None)
        try:
            _settle_down(self.place)
            shared = _shares(self.place)
            files = [_placed(plugin) for plugin in self.plugins]
            self.process = Process(replace(self.setup, parent=os.getpid(), plugins=files, returns=not shared))
            memory = self.process.until_ready().memory
            return Started(memory, "the run's" if shared else ray.get_runtime_context().get_node_id(), program(), socket.gethostname())
        except (BenchError, OSError) as error:
            return _stopped(error)

    def run(self, task: Task, timeout: float | None) -> Outcome:
        """Has the worker do a task, and says what came of it. A worker that has died over the task before is replaced first."""
        assert self.process is not None
        try:
            if not self.process.ready:
                self.process.start()
                self.process.until_ready()
        except (BenchError, OSError) as error:
            return Outcome(_stopped(error))
        self.process.send(task)
        heard([self.process], timeout, None)
        said = self.process.outcome(timeout)
        if isinstance(said.answer, Died):
            self.process.close()
            self.process.ready = False
        return said

    def stop(self) -> None:
        """Ends the worker and all that it has started, also in the middle of a task."""
        if self.process is not None:
            self.process.kill()


def _settle_down(place: Place) -> None:
    """Sets where this node keeps its files: where it says itself, or else where the run has them, if that folder is here too."""
    if not os.environ.get("RECONBENCH_HOME"):
        here = Path(place.home).parent.is_dir()
        os.environ["RECONBENCH_HOME"] = place.home if here else str(Path.home() / ".reconbench")
    remote = is_uri(place.store) and not place.store.startswith("file:")  # then every machine means the same by it
    if remote or (place.store and not os.environ.get(STORE) and Path(place.store).parent.is_dir()):
        os.environ[STORE] = place.store


def _shares(place: Place) -> bool:
    """Whether this node's store is that of the run."""
    try:
        store_files().read(place.token)
    except FileNotFoundError:
        return False
    return True


def _placed(plugin: Plugin) -> str:
    """The plug-in's file on this node: the same path where it holds the same, else a copy, named by its content."""
    with contextlib.suppress(OSError):
        if Path(plugin.path).read_bytes() == plugin.content:
            return plugin.path
    path = home() / "plugins" / hashlib.sha256(plugin.content).hexdigest()[:16] / Path(plugin.path).name
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    fresh.write_bytes(plugin.content)
    os.replace(fresh, path)
    return str(path)


def _stopped(error: Exception) -> Stopped:
    node = socket.gethostname()
    if isinstance(error, BenchError):
        return Stopped(f"on node {node}: {error.what}", error.expected, error.got, error.hint)
    return Stopped(f"node {node} cannot be used", "a store that can be read and written", str(error), "set RECONBENCH_HOME there")
