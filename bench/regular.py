"""Paths as somebody typed them, and regular files: the one place that opens files which others have made.

A named pipe keeps whoever opens it waiting for a writer, a device may never end, a link may lead back to itself: they are refused unread.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

from bench.errors import BenchError

SPECIAL = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))
UNUSABLE = {errno.ENAMETOOLONG: "a name or path that is too long", errno.ELOOP: "a link that leads back to itself"}


def path_of(typed: Path | str) -> Path:
    """The path that somebody typed, ``~`` and ``~user`` resolved: of a file, of a folder, or of nothing yet.

    Raises:
        BenchError: a user without a home, a path that no file system takes, a link that leads back to itself, a pipe, a device, a socket.
    """
    try:
        path = Path(typed).expanduser()
    except RuntimeError as error:
        raise BenchError(
            f"{short(typed)}: there is no such user, or none with a home",
            expected="a path; ~ is your home, ~user that of another user",
            got=short(typed),
            hint="write ./~… for a name that begins so",
        ) from error
    check(path)
    return path


def check(path: Path) -> None:
    """Raises BenchError where no file, no folder and not nothing is at a path, or nothing ever can be."""
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a zero byte, or half a character
        raise _unusable(path, "characters that no file's name can have") from error
    except OSError as error:
        if error.errno in UNUSABLE:
            raise _unusable(path, UNUSABLE[error.errno]) from error
        return
    for is_so, words in SPECIAL:
        if is_so(mode):
            raise _unusable(path, words)


def opened(path: Path) -> IO[bytes]:
    """A regular file, open for reading. Raises OSError as ``open`` does.

    Raises:
        BenchError: as `check`.
    """
    check(path)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # should a pipe have taken its place since, it is not waited for
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read(path: Path) -> bytes:
    """The content of a regular file. Raises as `opened`."""
    with opened(path) as file:
        return file.read()


def short(path: Path | str) -> str:
    """A path as messages say it where it may be of any length."""
    text = str(path)
    return text if len(text) <= 200 else f"{text[:100]}…{text[-60:]}"


def _unusable(path: Path, got: str) -> BenchError:
    return BenchError(f"{short(path)} cannot be used", expected="a file or a folder", got=got, hint="check the path; nothing was read")
