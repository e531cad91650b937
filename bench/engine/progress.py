"""What a person sees while cells run: a bar in a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import os
import sys
import time
from typing import Protocol

from bench.say import plain, say

QUIET_SECONDS = 10.0  # between two plain lines, unless something failed


class Progress(Protocol):
    """What the engine tells of itself."""

    def start(self, to_do: int, cached: int | None = None, task: str = "run") -> None:
        """So many cells are to run (or to be scored, or pages to be rendered: ``task``); so many are here already, where that can be."""

    def stage(self, text: str) -> None:
        """What happens now."""

    def finished(self, name: str, status: str, reason: str) -> None:
        """A cell is done and stored."""

    def note(self, text: str) -> None:
        """Something that the reader should know."""

    def close(self) -> None:
        """Nothing more comes."""


class Lines:
    """Plain lines for logs and pipes: a line at most every ten seconds, each failure at once."""

    def __init__(self) -> None:
        self.total = self.done = self.failed = 0
        self.cached = ""
        self.began = self.last = time.monotonic()

    def start(self, to_do: int, cached: int | None = None, task: str = "run") -> None:
        self.total, self.cached = to_do, cached_words(cached)
        self.began = self.last = time.monotonic()
        thing = "page" if task == "render" else "cell"
        say(f"{to_do} {thing if to_do == 1 else f'{thing}s'} to {task}{self.cached}")

    def stage(self, text: str) -> None:
        if time.monotonic() - self.last >= QUIET_SECONDS:
            say(text)

    def finished(self, name: str, status: str, reason: str) -> None:
        self.done += 1
        if status in ("failed", "timeout"):
            self.failed += 1
            say(f"failed: {name}: {reason}")
        if self.done == self.total or time.monotonic() - self.last >= QUIET_SECONDS:
            self.last = time.monotonic()
            left = time_left(self.began, self.done, self.total)
            say(f"{self.done}/{self.total} done, {self.failed} failed{self.cached}{left}")

    def note(self, text: str) -> None:
        say(text)

    def close(self) -> None:
        pass


class Bar:
    """A bar with cells done, failed, cached and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self.console = Console(file=getattr(sys.stderr, "drawn", None), stderr=True)
        text = "{task.completed:.0f}/{task.total:.0f} done, {task.fields[failed]} failed{task.fields[cached]}{task.fields[left]}"
        self.bar = RichProgress(TextColumn("{task.description}"), BarColumn(), TextColumn(text), console=self.console, transient=True)
        self.task = self.bar.add_task("starting", total=0, failed=0, cached="", left="")
        self.total = self.done = self.failed = 0
        self.began = time.monotonic()

    def start(self, to_do: int, cached: int | None = None, task: str = "run") -> None:
        self.total, self.began = to_do, time.monotonic()
        self.bar.update(
            self.task,
            description={"score": "scoring", "render": "rendering"}.get(task, "starting"),
            total=to_do,
            cached=cached_words(cached),
        )
        self.bar.start()

    def stage(self, text: str) -> None:
        self.bar.update(self.task, description=plain(text))

    def finished(self, name: str, status: str, reason: str) -> None:
        self.done += 1
        self.failed += status in ("failed", "timeout")
        self.bar.update(self.task, completed=self.done, failed=self.failed, left=time_left(self.began, self.done, self.total))
        if status in ("failed", "timeout"):
            self.note(f"failed: {name}: {reason}")

    def note(self, text: str) -> None:
        self.console.print(plain(text), markup=False, highlight=False)

    def close(self) -> None:
        self.bar.stop()


class Silent:
    """Says nothing; for tests and for use as a library."""

    def start(self, to_do: int, cached: int | None = None, task: str = "run") -> None: ...

    def stage(self, text: str) -> None: ...

    def finished(self, name: str, status: str, reason: str) -> None: ...

    def note(self, text: str) -> None: ...

    def close(self) -> None: ...


def choose() -> Progress:
    """A bar where stderr is a terminal that can redraw a line, else lines."""
    return (
        Bar()
        if sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
        else Lines()
    )


def cached_words(cached: int | None) -> str:
    """``, 8 cached``, or nothing where there is no cache to speak of."""
    return "" if cached is None else f", {cached} cached"


def time_left(began: float, done: int, total: int) -> str:
    """``, 2 min left`` at the pace so far, or nothing while there is no telling: the first cells wait for their targets to be trained."""
    if done < max(3, total // 10) or done >= total:
        return ""
    seconds = (time.monotonic() - began) / done * (total - done)
    return f", {seconds:.0f} s left" if seconds < 90 else f", {seconds / 60:.0f} min left"
