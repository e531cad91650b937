"""A worker process as its parent sees it: started, sent tasks, listened to, timed, killed and replaced.

Nothing heavy is imported here: what keeps such a process on another machine (``executors.seat``) needs no more than this.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from bench.engine.executors import child
from bench.engine.messages import LOST_CONTEXT, Died, Outcome, Ready, Setup, Stopped, Task
from bench.errors import BenchError
from bench.faults import cause

TAIL = 2000  # characters of standard error that a row keeps
KEPT = 1 << 15  # bytes of it at hand, of which a row keeps the end
STARTS = 3  # workers in a row that may die before they are ready


class Process:
    """A process that is replaced when it dies, its two pipes, and how long its task has taken."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.starts = 0  # since it was last ready
        self.process: multiprocessing.process.BaseProcess | None = None
        self.start()

    def start(self) -> None:
        """A fresh process in place of the one before."""
        self.busy = self.ready = self.overdue = False
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

    def send(self, task: Task) -> None:
        """Starts a task. A worker that has died meanwhile is found out when it is waited for."""
        self.read()
        self.tail = b""
        self.busy, self.began = True, time.monotonic()
        with contextlib.suppress(OSError):
            self.tasks.send(task)

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
        """The end of what the task has printed so far, or None."""
        self.read()
        lines = self.tail.decode(errors="replace").splitlines()
        # Python ends the account of a crash with the names of all compiled modules
        return "\n".join(line for line in lines if not line.startswith("Extension modules: ")).strip()[-TAIL:] or None

    def outcome(self, timeout: float | None) -> Outcome:
        """What the process has answered, or how it ended; to be asked of those that ``heard`` names."""
        try:
            answer = self.tasks.recv() if self.tasks.poll() else None
        except (EOFError, OSError):
            answer = None
        if isinstance(answer, Ready):
            self.ready, self.starts = True, 0
        elif answer is None:
            code = self.kill()
            if self.overdue and timeout is not None:
                answer = Died(f"exceeded {in_words(timeout)}", overdue=True)
            else:
                answer = Died(_cause(code), outside=code == -signal.SIGKILL)
        self.busy = False
        return Outcome(answer, self.stderr)

    def restart(self, reason: str) -> None:
        """Puts a fresh process in place of a dead one.

        Raises:
            BenchError: several in a row have died before they were ready.
        """
        if not self.ready and self.starts >= STARTS:
            stderr = self.stderr
            raise BenchError(
                "worker processes do not start",
                expected="processes that import the program and its plug-ins",
                got=reason + (f"; {stderr.splitlines()[-1]}" if stderr else ""),
                hint="-j 1 runs everything in one process",
            )
        self.close()
        self.start()

    def until_ready(self) -> Ready:
        """Waits until the process has imported everything.

        Raises:
            BenchError: it cannot be set up, or several in a row have died over it.
        """
        while True:
            heard([self], None, None)
            said = self.outcome(None).answer
            if isinstance(said, Ready):
                return said
            if isinstance(said, Stopped):
                raise said.error()
            assert isinstance(said, Died)
            self.restart(said.reason)

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


P = TypeVar("P", bound=Process)


def heard(processes: Sequence[P], timeout: float | None, until: float | None) -> list[P]:
    """Waits until some have answered, died, or outstayed the timeout (those are killed), and returns them; none when ``until`` comes."""
    while True:
        now = time.monotonic()
        ends = [process.began + timeout for process in processes if process.busy] if timeout is not None else []
        ends += [until] if until is not None and until > now else []
        left = max(0.0, min(ends) - now) if ends else None
        if left == float("inf"):
            left = None
        sources: dict[Any, P] = {}
        for one in processes:
            assert one.process is not None
            sources |= dict.fromkeys((one.tasks, one.process.sentinel, *([] if one.deaf else [one.streams])), one)
        ready = wait(list(sources), left)
        for source in ready:
            if isinstance(source, Connection) and source is sources[source].streams:
                sources[source].read()
        found = {id(sources[s]): sources[s] for s in ready if s is not sources[s].streams}
        for one in processes:
            late = timeout is not None and one.busy and time.monotonic() >= one.began + timeout
            if late and id(one) not in found:
                one.overdue = True
                one.kill()
                found[id(one)] = one
        if found or (until is not None and now < until <= time.monotonic()):
            return list(found.values())


def _cause(code: int) -> str:
    """An exit code in words."""
    return "the GPU no longer answered after it, and its worker process was replaced" if code == LOST_CONTEXT else cause(code)


def in_words(seconds: float) -> str:
    """A timeout as reasons name it: ``90 s``, ``10 min``, ``1 h``."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
