"""What is made of several grids at once, in processes; in this one where there are few, one processor, or no other process starts.

A process is started afresh (not forked: a caller may have threads, or a GPU), knows the plug-ins that this one knows, gets a grid at a time
through a pipe, and is gone when this one is. Which process makes a page changes nothing about it.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from bench import registry

if TYPE_CHECKING:
    from bench.report.grid import Grid, Seen

FEW = 3  # grids that are seen to before another process has imported what it needs
MOST = 4  # processes; each holds some 300 MiB
FIGURES = "figures"  # folder of the pictures


@dataclass(frozen=True)
class Made:
    """What was seen of a grid; of one that is shown also its page and its pictures."""

    seen: Seen
    contents: dict[str, bytes]  # path relative to the results folder → what the file holds


@dataclass(frozen=True)
class Fault:
    """Why there is no page."""

    what: str  # type and message, in a line
    trace: str = ""
    seen: Seen | None = None  # None: what is to be seen has not been found out


def make(grid: Grid) -> Made | Fault:
    """What is to be made of the grid, whatever its rows and plug-ins do."""
    from bench.report import markdown

    seen, collected = None, gc.isenabled()
    gc.disable()  # it would look at all that was ever imported, over and over, for the few circles that a figure is
    try:
        seen = grid.seen
        if not grid.shown:
            return Made(seen, {})
        page = grid.page(seen.groups, grid.images)
        pictures = {kind: content for kind, content in markdown.figures_of(page).items() if content is not None}
        page.figures.update({kind: f"{FIGURES}/{page.slug}_{kind}.png" for kind in pictures})
        contents = {page.figures[kind]: content for kind, content in pictures.items()}
        return Made(seen, {**contents, f"{page.slug}.md": markdown.grid_page(page).encode()})
    except Exception as error:
        return Fault(f"{type(error).__name__}: {error}".partition("\n")[0], traceback.format_exc(), seen)
    finally:
        if collected:
            gc.enable()


def processes(grids: int) -> int:
    """How many processes see to so many grids: 1 is this one."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(here, grids, MOST) if grids > FEW else 1


def make_all(grids: Sequence[Grid], tell: Callable[[int, str], None], at_once: int | None) -> list[Made | Fault]:
    """What came of every grid, in their order.

    Args:
        tell: is called when a page is begun: the how many-th that is, and its title.
        at_once: processes; None: by the number of grids and processors.
    """
    count = processes(len(grids)) if at_once is None else at_once
    begun: set[str] = set()

    def begin(grid: Grid) -> None:
        if grid.shown and grid.slug not in begun:
            begun.add(grid.slug)
            tell(len(begun), grid.title)

    found: dict[str, Made | Fault] = {}
    if count > 1:
        with contextlib.closing(_Crew(count)) as crew:
            found = crew.make(sorted(grids, key=_long, reverse=True), begin)
    for grid in grids:
        if grid.slug not in found:
            begin(grid)
            found[grid.slug] = make(grid)
    return [found[grid.slug] for grid in grids]


def _long(grid: Grid) -> int:
    """About how long it takes: what takes longest comes first."""
    return sum(path.stat().st_size for path in grid.files)


class _Crew:
    """Processes that make pages."""

    def __init__(self, count: int) -> None:
        self.members: dict[Connection, BaseProcess] = {}
        self.ready: set[Connection] = set()
        context = multiprocessing.get_context("spawn")
        with contextlib.suppress(OSError, ImportError):  # a machine that lets none be started
            for _ in range(count):
                mine, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, registry.loaders()), daemon=True, name="reconbench pages")
                process.start()
                theirs.close()
                self.members[mine] = process

    def make(self, grids: Sequence[Grid], begin: Callable[[Grid], None]) -> dict[str, Made | Fault]:
        """What came of the grids by their slugs, of as many as there was a process for."""
        found: dict[str, Made | Fault] = {}
        left = list(grids)
        busy: dict[Connection, Grid] = {}
        idle = list(self.members)
        while left or busy:
            while left and idle:
                grid, pipe = left.pop(0), idle.pop()
                try:
                    pipe.send(grid)
                except (OSError, pickle.PicklingError, TypeError, AttributeError):  # it is dead; or the rows of a plug-in stay in this one
                    self._dismiss(pipe)
                    left.insert(0, grid)
                    continue
                busy[pipe] = grid
                begin(grid)
            if not busy:
                break  # nobody is left
            for pipe in set(busy).intersection(wait(list(busy))):  # type: ignore[arg-type]
                try:
                    answer = pipe.recv()
                except (EOFError, OSError):
                    grid = busy.pop(pipe)
                    self.members[pipe].join(1)
                    code = self._dismiss(pipe)
                    if pipe in self.ready:
                        found[grid.slug] = Fault(f"its process died, exit code {code}")
                    else:  # it never began
                        left.append(grid)
                    continue
                if answer is None:
                    self.ready.add(pipe)
                else:
                    found[busy.pop(pipe).slug] = answer
                    idle.append(pipe)
        return found

    def _dismiss(self, pipe: Connection) -> int | None:
        process = self.members.pop(pipe)
        pipe.close()
        process.terminate()
        process.join()
        return process.exitcode

    def close(self) -> None:
        """Ends all of them, whatever they are at."""
        for pipe in list(self.members):
            self._dismiss(pipe)


def _work(grids: Connection, plugins: Sequence[Callable[[], object]]) -> None:
    """The life of such a process. Ctrl-C in a terminal is its parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for load in plugins:
        load()
    from bench.report import markdown  # noqa: F401 - what makes a page, before one is asked for

    grids.send(None)
    with contextlib.suppress(EOFError, OSError):  # the parent has gone
        while True:
            grids.send(make(grids.recv()))
