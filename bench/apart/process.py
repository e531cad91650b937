"""A process of attacks as its parent sees it: started by exec, asked, and killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.apart import sandbox, wire
from bench.apart.wire import Said
from bench.errors import AttackFault
from bench.faults import cause

ROOT = Path(__file__).resolve().parent.parent.parent
# All of the environment that a process of attacks is given: what says how libraries compute, and where they are. No path of data or store.
PASSED = ("PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE")
PASSED_PREFIXES = (
    "LC_",
    "OMP_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_",
    "ATEN_",
    "DNNL_",
    "ONEDNN_",
    "CUDA_",
    "CUBLAS_",
    "NVIDIA_",
    "PYTORCH_",
)
PATIENCE = 5.0  # seconds that a process may take to end after it has closed the line


class Process:
    """One that is alive, or was.

    Args:
        sandboxed: the system holds it back besides.
        alone: it is the head of a process group of its own, else one of its parent's group.
        readable: files that it will be told to load.
    """

    def __init__(self, *, sandboxed: bool, gpu: bool, alone: bool, readable: Sequence[str] = ()) -> None:
        self.sandboxed, self.alone, self.readable = sandboxed, alone, frozenset(readable)
        self.line, theirs = socket.socketpair()
        self.folder = tempfile.mkdtemp(prefix="reconbench-attack-")
        argv = [sys.executable, "-m", "bench.apart.child", str(theirs.fileno())]
        path = [os.path.abspath(entry) for entry in sys.path]
        if sandboxed:
            argv = sandbox.command(argv, readable=[ROOT, *map(Path, readable)], gpu=gpu)
        try:
            self.process = subprocess.Popen(
                argv,
                cwd=self.folder,
                env=_environment(path) | ({"HOME": "/tmp"} if sandboxed else {}),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=_stderr(),  # what attacks print is no part of our output
                stderr=_stderr(),
                start_new_session=alone,
            )
        finally:
            theirs.close()
        with contextlib.suppress(OSError):  # it has died; whoever asks it finds out
            wire.send(self.line, {"path": path, "threads": torch.get_num_threads()})

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self.line.fileno() >= 0 and self.process.poll() is None

    def call(self, message: Any, answer: Callable[[Said], Any]) -> Said:
        """Sends a message and returns what comes back.

        Args:
            answer: what to tell the process when it asks something meanwhile.

        Raises:
            AttackFault: the process has ended, or does not keep to the form.
        """
        try:
            wire.send(self.line, message)
            while True:
                said = wire.hear(self.line)
                if said.words.get("say") != "ask":
                    return said
                wire.send(self.line, answer(said))
        except wire.MalformedError as error:
            self.close()
            raise AttackFault(
                "the attack's process sent what is no message", expected="messages of bench.apart alone on its line", got=str(error)
            ) from None
        except (EOFError, ConnectionError):
            raise AttackFault(f"the attack {self._ended()}") from None
        except BaseException:  # interrupted, or the store is full: the process waits for an answer that does not come
            self.close()
            raise

    def _ended(self) -> str:
        """How it has ended, or that it closed the line; then it ends now."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.close()
            return "closed the line on which its process is asked"
        self.close()
        if self.sandboxed and code > 128:  # the sandbox tells signals as shells do
            code = 128 - code
        return cause(code) if code >= 0 else f"was {cause(code)}"

    def close(self) -> None:
        """Ends it and, where it has a group of its own, all that it has started."""
        self.line.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.alone:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _environment(path: Sequence[str]) -> dict[str, str]:
    """What it starts with. Libraries may lie where its interpreter alone would not look, but on our own ``path`` of modules."""
    passed = {name: value for name, value in os.environ.items() if name in PASSED or name.startswith(PASSED_PREFIXES)}
    # the first two as the run has them by the time that it attacks: see ``bench.__main__`` and ``bench.precision.check``
    return {"OMP_WAIT_POLICY": "passive", "CUBLAS_WORKSPACE_CONFIG": ":4096:8", **passed, "PYTHONPATH": os.pathsep.join([str(ROOT), *path])}


def _stderr() -> int:
    """Our standard error, whatever Python has made of it."""
    try:
        os.fstat(2)
    except OSError:  # it is closed
        return subprocess.DEVNULL
    return 2
