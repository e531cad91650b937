"""A disk that fills: a small tmpfs where one can be mounted; else the processes of the run are forbidden to make any file grow."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

BLOCK = 2**16


class Tmpfs:
    """A file system of its own: full for everyone, with the system's own error."""

    how = "a tmpfs of its own"
    said = "No space left on device"  # in the message of the command line

    def __init__(self, folder: Path) -> None:
        self.ballast = folder / "ballast"

    def fill(self, pids: Iterable[int]) -> None:
        """Not a byte is free."""
        with contextlib.suppress(OSError), open(self.ballast, "ab", buffering=0) as file:
            while file.write(bytes(BLOCK)) == BLOCK:
                pass
        with contextlib.suppress(OSError), open(self.ballast, "ab", buffering=0) as file:
            while file.write(b"x"):
                pass

    def free(self) -> None:
        """As before."""
        self.ballast.unlink(missing_ok=True)


class Limit:
    """RLIMIT_FSIZE of running processes: each write to a file fails, though with another error than a full disk's."""

    how = "RLIMIT_FSIZE (no tmpfs is mounted)"
    said = "File too large"

    def fill(self, pids: Iterable[int]) -> None:
        """These processes can write nothing any more."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free(self) -> None:
        """They have ended, and the next ones have no limit."""


@contextlib.contextmanager
def small(folder: Path, size: int, mount: bool = True) -> Iterator[Tmpfs | Limit]:
    """A disk of so many bytes at an empty folder, while it is needed; ``mount``: by mounting one, if that is allowed."""
    mounted = (
        mount
        and os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
    )
    try:
        yield Tmpfs(folder) if mounted else Limit()
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
