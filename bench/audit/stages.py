"""How far an audit is, and how long it will take: its stages are known beforehand, and each has a guess of its seconds.

The guesses are of one core and fifty images. What the stages so far really took, beside what was guessed of them, sets the others right, so
the first word is a guess and the last ones are nearly true.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable

from bench.engine.prepare import PlannedAttack
from bench.say import plain, say

READING, TRAINING = "reading the network", "positive control"
GUESSED = {  # seconds
    READING: 3.0, TRAINING: 10.0, "span_ica": 3.0, "span_ica_change": 3.0, "span_features": 8.0, "span_features_change": 8.0,
    "model_inversion": 5.0,
}  # fmt: skip
SEARCH, OTHER = 10.0, 0.3  # of a search for a KKT point, of anything else
TRUST = 5.0  # seconds of guesses that were right, as it were, before the first stage has ended


class Stages:
    """What is still to do, in guessed seconds. Says nothing by itself.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: dict[str, float] = {}
        self._guessed = self._took = 0.0
        self._now = ""
        self._began = clock()

    def plan(self, planned: Iterable[PlannedAttack], positive: bool) -> None:
        """The stages of an audit with these attacks; a positive control is one as long as it may be needed."""
        found = {one.spec.name: _guess(one) for one in planned}
        self._left = {READING: GUESSED[READING], **found}
        if positive:
            attacks = sum(_guess(one) for one in planned if one.role == "attack")
            self._left[TRAINING] = GUESSED[TRAINING] + attacks

    def begin(self, name: str) -> None:
        """A stage begins, and the one before it has ended. A stage that was not planned takes no guessed time."""
        self.end()
        self._now, self._began = name, self._clock()

    def end(self) -> None:
        """The stage that is under way has ended."""
        if self._now:
            self._guessed += self._left.pop(self._now, 0.0)
            self._took += self._clock() - self._began
        self._now = ""

    def drop(self, name: str) -> None:
        """An attack that is not run, on the positive control neither."""
        guess = self._left.pop(name, 0.0)
        if TRAINING in self._left:
            self._left[TRAINING] = max(GUESSED[TRAINING], self._left[TRAINING] - guess)

    @property
    def done(self) -> float:
        """The share of the guessed seconds that lies behind, in [0, 1]."""
        total = self._guessed + sum(self._left.values())
        return self._guessed / total if total else 1.0

    def seconds_left(self) -> float:
        """How long it will take from now, in seconds, by the pace so far."""
        pace = (self._took + TRUST) / (self._guessed + TRUST)
        spent = min(self._clock() - self._began, pace * self._left.get(self._now, 0.0)) if self._now else 0.0
        return max(0.0, pace * sum(self._left.values()) - spent)

    def words(self) -> str:
        """The same, as it is printed."""
        seconds = self.seconds_left()
        return f"about {max(1, round(seconds))} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"

    def note(self, text: str) -> None:
        """Something that the reader should know."""

    def close(self) -> None:
        """Nothing more comes."""


class Lines(Stages):
    """For logs and pipes: a line as each attack begins or ends, with the time left behind those that begin something long."""

    def note(self, text: str) -> None:
        long = self._left.get(self._now, 0.0) > 1 and (": running" in text or ": training" in text)
        say(f"{text} ({self.words()})" if long else text)


class Line(Stages):
    """For a terminal: a line that is rewritten, below what is said."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task
        from rich.text import Text

        super().__init__()
        outer = self

        class Left(ProgressColumn):
            def render(self, task: Task) -> Text:
                return Text(outer.words())

        self.console = Console(file=getattr(sys.stderr, "drawn", None), stderr=True)
        self._bar = Progress("{task.description}", BarColumn(), Left(), console=self.console, transient=True)
        self._task = self._bar.add_task(READING, total=1.0)
        self._bar.start()

    def begin(self, name: str) -> None:
        super().begin(name)
        self._bar.update(self._task, description=plain(name), completed=self.done)

    def note(self, text: str) -> None:
        self.console.print(plain(text), markup=False, highlight=False)

    def close(self) -> None:
        self._bar.stop()


def choose() -> Stages:
    """A line that is rewritten where stderr is a terminal that can, else plain lines."""
    drawn = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    return Line() if drawn else Lines()


def _guess(one: PlannedAttack) -> float:
    each = GUESSED.get(one.spec.name, SEARCH if one.cls is not None and one.cls.kkt else OTHER)
    return each * len(one.instances)
