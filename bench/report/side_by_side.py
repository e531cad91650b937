"""The pages of several grids at once, in processes; in this one where there are few, one processor, or no other process starts.

A process is started afresh (not forked: a caller may have threads, or a GPU), knows the plug-ins that this one knows, gets a page at a time
through a pipe, and is gone when this one is. Which process makes a page changes nothing about it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from bench import registry
from bench.report.kit.page import Page

FEW = 3  # pages that are made before another process has imported what it needs
MOST = 4  # processes; each holds some 300 MiB
FIGURES = "figures"  # folder of the pictures


@dataclass(frozen=True)
class Made:
    """A page and its pictures."""

    figures: dict[str, str]  # kind → path relative to the results folder
    contents: dict[str, bytes]  # path → what the file holds


@dataclass(frozen=True)
class Fault:
    """Why there is no page."""

    what: str  # type and message, in a line
    trace: str = ""


def make(page: Page) -> Made | Fault:
    """The page and its pictures, whatever its rows and plug-ins do."""
    from bench.report import markdown

    try:
        pictures = {kind: content for kind, content in markdown.figures_of(page).items() if content is not None}
        figures = {kind: f"{FIGURES}/{page.slug}_{kind}.png" for kind in pictures}
        page.figures.update(figures)
        contents = {figures[kind]: content for kind, content in pictures.items()}
        return Made(figures, {**contents, f"{page.slug}.md": markdown.grid_page(page).encode()})
    except Exception as error:
        return Fault(f"{type(error).__name__}: {error}".partition("\n")[0], traceback.format_exc())


def processes(pages: int) -> int:
    """How many processes make so many pages: 1 is this one."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(here, pages, MOST) if pages > FEW else 1


def make_all(pages: Sequence[Page], tell: Callable[[int, str], None], at_once: int | None) -> list[Made | Fault]:
    """What came of every page, in their order.

    Args:
        tell: is called when a page is begun: the how many-th that is, and its title.
        at_once: processes; None: by the number of pages and processors.
    """
    count = processes(len(pages)) if at_once is None else at_once
    found: dict[str, Made | Fault] = {}
    if count > 1:
        with contextlib.closing(_Crew(count)) as crew:
            found = crew.make(sorted(pages, key=lambda page: -len(page.images)), tell)  # what takes longest first
    for page in pages:
        if page.slug not in found:
            tell(len(found) + 1, page.title)
            found[page.slug] = make(page)
        elif isinstance(made := found[page.slug], Made):
            page.figures.update(made.figures)
    return [found[page.slug] for page in pages]


class _Crew:
    """Processes that make pages."""

    def __init__(self, count: int) -> None:
        self.members: dict[Connection, BaseProcess] = {}
        self.ready: set[Connection] = set()
        context = multiprocessing.get_context("spawn")
        with contextlib.suppress(OSError, ImportError):  # a machine that lets none be started
            for _ in range(count):
                mine, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, registry.plugin_files()), daemon=True, name="reconbench pages")
                process.start()
                theirs.close()
                self.members[mine] = process

    def make(self, pages: Sequence[Page], tell: Callable[[int, str], None]) -> dict[str, Made | Fault]:
        """The pages by their slugs, as many as there was a process for."""
        found: dict[str, Made | Fault] = {}
        left = list(pages)
        busy: dict[Connection, Page] = {}
        begun: set[str] = set()
        idle = list(self.members)
        while left or busy:
            while left and idle:
                page, pipe = left.pop(0), idle.pop()
                try:
                    pipe.send(page)
                except (OSError, pickle.PicklingError, TypeError, AttributeError):  # it is dead; or the rows of a plug-in stay in this one
                    self._dismiss(pipe)
                    left.insert(0, page)
                    continue
                busy[pipe] = page
                if page.slug not in begun:
                    begun.add(page.slug)
                    tell(len(begun), page.title)
            if not busy:
                break  # nobody is left
            for pipe in set(busy).intersection(wait(list(busy))):  # type: ignore[arg-type]
                try:
                    answer = pipe.recv()
                except (EOFError, OSError):
                    page = busy.pop(pipe)
                    self.members[pipe].join(1)
                    code = self._dismiss(pipe)
                    if pipe in self.ready:
                        found[page.slug] = Fault(f"its process died, exit code {code}")
                    else:  # it never began
                        left.append(page)
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


def _work(pages: Connection, plugins: Sequence[str]) -> None:
    """The life of such a process. Ctrl-C in a terminal is its parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for path in plugins:
        registry.load_plugin(path)
    from bench.report import markdown  # noqa: F401 - what makes a page, before one is asked for

    pages.send(None)
    with contextlib.suppress(EOFError, OSError):  # the parent has gone
        while True:
            pages.send(make(pages.recv()))
