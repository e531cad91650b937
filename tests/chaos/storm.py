"""Runs the grid while faults befall it, starts it again whenever it has ended, and lets it finish in peace."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import rows
from .clock import DAY, Clock
from .disk import Limit, Tmpfs
from .driver import Driver
from .faults import KINDS, BrokenError, Scene
from .trial import Trial

READY = 120.0  # seconds until a worker must be there, on a busy machine
STIR = 30.0  # seconds until the next fault, if nothing has been written since the run began
FINISHED = re.compile(r"^(\d+)/\d+ done")


@dataclass
class Storm:
    """The runs of one grid, and what befell them."""

    trial: Trial
    words: Sequence[str]  # the command, without ``python -m bench``
    home: Path
    disk: Tmpfs | Limit
    clock: Clock
    environment: Mapping[str, str]
    rng: random.Random
    deadline: float  # on the monotonic clock
    pace: float  # seconds between two faults, on average
    tell: Callable[[str], None]
    injected: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)  # rows that were stored, or reported done, and were not there later
    starts: int = 0

    def rage(self) -> None:
        """Injects every fault of the deck, in random order, into runs that are started again whenever they have ended; then one in peace.

        Raises:
            BrokenError: the program did what it must not do, or did not end in time.
        """
        scene = Scene(self.home, self.disk, self.clock, self._start(), self.rng)
        deck = self.rng.sample(self.trial.deck, len(self.trial.deck))
        try:
            while deck:
                self._in_time()
                if not scene.driver.running:
                    self._settle(scene)
                    ended = scene.driver.wait(0) in (0, 2)  # by itself, and perhaps nothing is left to do but what failed
                    scene.driver = self._start(*(["--retry", "failed"] if ended else []))
                time.sleep(self.pace * self.rng.uniform(0.2, 1.8))
                what = KINDS[deck[0]](scene)
                if what:
                    self.injected[deck[0]] += 1
                    self.tell(f"{deck[0]}: {what}")
                deck = deck[1:] if what else [*deck[1:], deck[0]]  # there was nothing to do it to: later, when there is
            self._finish(scene)
            if scene.damaged or scene.driver.wait(0) not in (0, 2):  # rows are gone that were there when it began, or it has not ended
                scene.driver = self._start()
                self._finish(scene)
        finally:
            scene.driver.kill()

    def again(self, *more: str) -> None:
        """One more run with these options, in peace but for the clock, by which all that was stored before lies in the future.

        Raises:
            BrokenError: as above.
        """
        self.clock.move(-3650 * DAY)
        scene = Scene(self.home, self.disk, self.clock, self._start(*more), self.rng)
        try:
            self._finish(scene)
        finally:
            scene.driver.kill()

    def _start(self, *more: str) -> Driver:
        """A run that has written something, or waits for an attack that hangs, or has ended."""
        self.starts += 1
        before = self._files()
        driver = Driver([*self.words, *more], self.environment, self.trial.memory)
        limit = time.monotonic() + READY
        while driver.running and not driver.workers():
            if time.monotonic() > limit:
                driver.kill()
                raise BrokenError(f"no worker after {READY:.0f} s:\n{driver.said}")
            time.sleep(0.02)
        limit = time.monotonic() + STIR
        while driver.running and self._files() == before and time.monotonic() < limit:
            time.sleep(0.05)
        return driver

    def _files(self) -> set[Path]:
        return {path for path in self.home.rglob("*") if path.suffix in (".parquet", ".safetensors")}

    def _finish(self, scene: Scene) -> None:
        """Waits for a run to end by itself, with every cell settled."""
        while scene.driver.wait(1.0) is None:
            self._in_time()
        self._settle(scene)

    def _settle(self, scene: Scene) -> None:
        """After a run: it ended as it may, and all rows are there that it reported, or that were there before."""
        driver = scene.driver
        code, full = driver.wait(0), self.disk.said in driver.said
        if code not in (0, 2, -9) and not (code == 1 and full):
            raise BrokenError(f"a run ended with exit code {code}:\n{driver.said}")
        if "Traceback" in driver.said:
            raise BrokenError(f"a run showed a traceback:\n{driver.said}")
        there = set(rows.stored(self.home))
        gone = scene.seen - there - scene.damaged
        self.lost += [f"{grid} {cell}: it was stored, and was not there later" for grid, cell in sorted(gone)]
        reported = max((int(found[1]) for line in driver.lines if (found := FINISHED.match(line))), default=0)
        if reported > len(there) + len(scene.damaged):
            self.lost.append(f"{reported} cells were reported done, {len(there)} are stored")
        scene.seen, scene.damaged = there, scene.damaged - there

    def _in_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise BrokenError("it did not come to an end in time")
