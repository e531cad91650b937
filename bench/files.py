"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from bench.errors import BenchError


def atomic_write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: a temporary file beside it, fsync, rename.

    Raises:
        BenchError: the disk is full, or the folder cannot be written; an older file at the path is left as it was.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cannot_write(path, error) from error
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable, where the system allows it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def cannot_write(path: Path, error: OSError) -> BenchError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BenchError(
            f"the disk is full: {path} was not written",
            expected="free space on the disk (or in the quota)",
            got=str(error),
            hint="free some space and run the same command again; finished cells are kept, an older file was left as it was",
        )
    return BenchError(
        f"cannot write {path}",
        expected="a folder that can be written",
        got=str(error),
        hint="check the permissions, or choose another folder with --out or RECONBENCH_HOME; finished cells are kept",
    )
