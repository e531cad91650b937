"""Which systems this runs on: POSIX ones, such as Linux and macOS.

Worker processes are killed as groups and speak through pipes of file descriptors, results folders are locked, a file that is being read is
replaced: what bench/store/README.md promises of kills, crashes and many writers holds by these, and Windows has none of them.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys

from bench.errors import BenchError


def missing() -> str:
    """What of POSIX this system lacks, in words; empty where nothing is."""
    found = [name for name in ("fcntl", "resource") if not _there(name)]
    found += [f"os.{name}" for name in ("killpg", "setpgid") if not hasattr(os, name)]
    return ", ".join(found)


def check() -> None:
    """Refuses to go on where the system is no POSIX one.

    Raises:
        BenchError: it is none.
    """
    lacks = missing()
    if lacks:
        raise BenchError(
            "reconbench runs on POSIX systems only",
            expected="Linux, macOS or the like; on Windows, inside the Windows Subsystem for Linux (WSL)",
            got=f"a Python without {lacks}",
            hint="on Windows: wsl --install, then install and run it there",
        )


def dies_with_its_parent() -> None:
    """For a process that another one keeps: Ctrl-C in a terminal is the parent's to answer; and on Linux it is gone when the parent is, and
    the first to go when memory runs out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")


def _there(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True
