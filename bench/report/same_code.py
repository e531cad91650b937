"""Whether the pages of a results folder are what this very code made of them on this machine, so that ``report`` may leave them.

That is kept under ``home()/pages``, a note a results folder: a hash of the code and of every page. Without a note, or where code, plug-ins,
libraries or a page differ, all pages are made again.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from bench import registry
from bench.errors import BenchError
from bench.home import home

LIBRARIES = ("matplotlib", "numpy", "pandas", "pyarrow", "scipy", "pillow")


def holds(folder: Path, files: Iterable[str]) -> bool:
    """Whether the note of the folder speaks of these pages, as they are now, and of this code."""
    with suppress(OSError, BenchError):
        return note(folder).read_text(encoding="ascii") == _digest(folder, files)
    return False


def remember(folder: Path, files: Iterable[str]) -> None:
    """This code has made all of these files of the folder."""
    with suppress(OSError, BenchError):  # a home that cannot be written
        place = note(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(_digest(folder, files), encoding="ascii")


def forget(folder: Path) -> None:
    """Some of its files are of other code, or it is not known of which."""
    with suppress(OSError, BenchError):
        note(folder).unlink(missing_ok=True)


def note(folder: Path, ending: str = "") -> Path:
    """Where it is kept. Raises BenchError where it has no home."""
    return home() / "pages" / f"{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]}{ending}"


@functools.cache
def _own() -> bytes:
    """Hash of the files of this program, as they were when it was first asked for; of its grids too, which say what should have run."""
    files = sorted(path for path in (registry.ROOT / "bench").rglob("*") if path.suffix in (".py", ".yaml"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).digest()


def code() -> bytes:
    """Hash of this code, of plug-ins and of libraries. Raises OSError where a file of theirs cannot be read."""
    digest = hashlib.sha256(_own())
    for plugin in sorted(registry.plugin_files()):
        digest.update(Path(plugin).read_bytes())
    for kind in registry.WORDS:
        for point in (entry.entry_point for entry in registry.entries(kind).values() if entry.entry_point is not None):
            digest.update(f"{point.value} {point.dist.version if point.dist else ''}\n".encode())
    digest.update(" ".join([platform.python_version(), *map(version, LIBRARIES)]).encode())
    return digest.digest()


def _digest(folder: Path, files: Iterable[str]) -> str:
    """Raises OSError where a file is missing."""
    digest = hashlib.sha256(code())
    for name in ("leaderboard.md", *sorted(files)):
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()
