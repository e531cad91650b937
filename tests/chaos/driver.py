"""The command line as a process: started, watched, killed."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


class Driver:
    """One ``python -m bench …``, with an address space of its own size for it and each of its workers."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], memory: int) -> None:
        path = os.pathsep.join(filter(None, (environment.get("PYTHONPATH", ""), str(ROOT))))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench", *words],
            env={**os.environ, **environment, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        with contextlib.suppress(ProcessLookupError):  # it starts its workers seconds later; they inherit the limit
            resource.prlimit(self.process.pid, resource.RLIMIT_AS, (memory, memory))
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def said(self) -> str:
        """Its standard error so far."""
        return "\n".join(self.lines)

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        found = []
        with contextlib.suppress(OSError):
            for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="utf-8").split():
                with contextlib.suppress(OSError):
                    if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found.append(int(pid))
        return found

    def wait(self, seconds: float) -> int | None:
        """Its exit code, or None if it has not ended by then."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            self.reader.join(10)
        return self.process.poll()

    def kill(self) -> None:
        """Ends it at once, and waits until its workers, which die with it, are gone."""
        workers = self.workers()
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.wait(30)
        deadline = time.monotonic() + 30
        while any(alive(pid) for pid in workers):
            assert time.monotonic() < deadline, "workers have outlived the main process"
            time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
