"""One line of the table: what was measured, beside what, whether both compute the same, and whether the target is met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .clock import Samples
from .floor import Floor


@dataclass(frozen=True)
class Check:
    """That two things compute the same: the largest difference found, and what is allowed."""

    what: str  # what was compared
    worst: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the difference is within the tolerance; a NaN is not."""
        return self.worst <= self.tolerance

    def __str__(self) -> str:
        if not self.tolerance:
            return f"{self.what}: {self.worst:g}" + ("" if self.ok else ", which is NOT 0")
        return f"{self.what}: {self.worst:.1e} {'≤' if self.ok else 'ABOVE'} {self.tolerance:.2g}"


@dataclass(frozen=True)
class Line:
    """A line. ``at_least`` and ``at_most`` say what the target is, one of them or both; neither: the figure is only stated."""

    key: str  # stable name, for the raw timings
    what: str
    ours: Samples | None  # None: not measured here, and ``note`` says why
    baseline: Samples | None = None
    at_least: float | None = None  # ratio baseline / ours
    at_most: float | None = None  # seconds, or bytes where ``unit`` says so
    unit: str = "s"
    checks: tuple[Check, ...] = ()
    note: str = ""  # recovery beside each other, device, scaling
    bound: str = ""  # what a step of ours is bounded by, with the figure

    @property
    def ratio(self) -> float | None:
        """How many times faster than the baseline."""
        if self.ours is None or self.baseline is None or self.ours.median == 0:
            return None
        return self.baseline.median / self.ours.median

    @property
    def met(self) -> bool | None:
        """Whether the target is met, checks included; None where there is no target or no measurement."""
        if self.ours is None or (self.at_least is None and self.at_most is None):
            return None
        if not all(check.ok for check in self.checks):
            return False
        if self.at_least is not None and (self.ratio is None or self.ratio < self.at_least):
            return False
        return self.at_most is None or self.ours.median <= self.at_most

    @property
    def verdict(self) -> str:
        """``met``, ``not met``, ``check failed``, ``not measured``, or ``stated`` where there is no target."""
        if self.ours is None:
            return "not measured"
        if not all(check.ok for check in self.checks):
            return "check failed"
        return "stated" if self.met is None else "met" if self.met else "not met"


@dataclass(frozen=True)
class Part:
    """What one benchmark hands to the page."""

    lines: tuple[Line, ...]
    floors: tuple[Floor, ...] = ()
    text: str = ""  # Markdown, under a heading of its own
    pictures: Mapping[str, bytes] = field(default_factory=dict)  # file name → PNG
    raw: tuple[Line, ...] = ()  # measurements that only the raw timings keep
