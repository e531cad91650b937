"""Who is to blame when something is raised or a process ends: a plug-in, in one line that names the place, or the machine, which ends the
run."""

from __future__ import annotations

import errno
import signal
import traceback
from pathlib import Path

from bench.errors import BenchError, StorageError

_OURS = tuple(Path(__file__).parent / room for room in ("engine", "apart"))

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)  # of the machine, whoever meets them


class ReportedError(Exception):
    """What is to blame is known already, in one line."""


class PluginExitError(ReportedError):
    """A plug-in called sys.exit, which must not end the run."""


class MemoryReportedError(ReportedError, MemoryError):
    """Memory has run out in another process."""


def blame(error: BaseException) -> str:
    """One line that says what a plug-in raised, and where in its own file, without what a terminal would obey."""
    return printable(_blame(error))


def printable(text: str) -> str:
    """A text without what a terminal would obey."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _blame(error: BaseException) -> str:
    if isinstance(error, ReportedError):
        return str(error)
    if isinstance(error, BenchError):
        return error.line
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent not in _OURS and frame.filename[:1] != "<"]
    own = [f for f in own if "site-packages" not in f.filename] or own
    where = f" (at {_file(own[-1].filename)}:{own[-1].lineno})" if own else ""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}{where}"[:500]


def _file(name: str) -> str:
    """A source file by its name, or by its folder too where that says nothing."""
    path = Path(name)
    return f"{path.parent.name}/{path.name}" if path.name == "__init__.py" else path.name


def is_full(error: Exception) -> bool:
    """Whether the machine or the store is to blame, and not the cell: then the run stops, with a message, and no cell is marked failed.

    Other errors of the system are those of a data set or a plug-in, such as a picture that is cut off: they fail their cells.
    """
    return isinstance(error, StorageError) or (isinstance(error, OSError) and error.errno in FULL)


def cause(code: int) -> str:
    """An exit code in words; negative: a signal."""
    if code >= 0:
        return f"ended its process with exit code {code}"
    name = (signal.strsignal(-code) or "unknown").lower()
    more = "from outside, as the system does when memory runs out" if -code == signal.SIGKILL else name
    return f"killed by signal {-code} ({more})"
