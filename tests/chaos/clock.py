"""A clock that jumps: Python's wall clock in the processes of a run, shifted by what a file says. The machine's own clock stays as it is.

``time.time`` and ``time.time_ns`` are replaced as the interpreter starts (``sitecustomize``), in the main process and in its workers. The
monotonic clock is not: nobody can set that of a real machine either.
"""

from __future__ import annotations

import os
from pathlib import Path

SITE = """
import os
import time

_time, _time_ns = time.time, time.time_ns


def _shift():
    with open(os.environ["CHAOS_CLOCK"], encoding="ascii") as file:
        return int(file.read())


time.time = lambda: _time() + _shift()
time.time_ns = lambda: _time_ns() + _shift() * 10**9
"""
DAY = 86_400


class Clock:
    """The wall clock of the processes that run with ``environment``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(SITE, encoding="utf-8")
        self.move(0)

    @property
    def environment(self) -> dict[str, str]:
        """What these processes need."""
        return {"PYTHONPATH": str(self.folder), "CHAOS_CLOCK": str(self.folder / "shift")}

    def move(self, seconds: int) -> None:
        """Sets the clock to so many seconds after the true time."""
        new = self.folder / "shift.new"
        new.write_text(str(seconds), encoding="ascii")
        os.replace(new, self.folder / "shift")
