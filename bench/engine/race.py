"""A sweep that is raced by successive halving: how many of its runs go on, and how long.

Of ``sweep: {runs: 32, halving: 4}`` all 32 runs make a first rung of a sixteenth of the attack's full budget, the best eight of them one of
a quarter, and the best two the whole. *Best* is by the attack's own account, its confidences or its loss: nothing that sees the secret.

Each rung begins anew, with the run's own random numbers. So a run of the last rung ends as it would in a sweep of which all runs go to the
end, but for rounding, also where the attack's learning rate or slope follows its budget; and any attack can be raced that names the
hyperparameter of its budget. Going on from where the shorter rung ended would spare one part in ``halving`` of each later rung.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.api import DIVERGED, Attack
from bench.errors import AttackFault, BenchError
from bench.grids.model import AttackSpec


@dataclass(frozen=True)
class Rung:
    """So many runs for so long."""

    runs: int
    budget: int | None  # of each run; None: that of the attack as it is, the full one

    def name(self, run: int) -> str:
        """What a run of this rung is called in the store."""
        return f"{run}" if self.budget is None else f"{run}-{self.budget}"


def rungs(runs: int, halving: int | None, budget: int) -> tuple[Rung, ...]:
    """The rungs of a sweep, the last at full budget: one alone without halving, else as many as runs and budget can be divided for."""
    if halving is None:
        return (Rung(runs, None),)
    times = 0
    while halving ** (times + 1) <= min(runs, budget):
        times += 1
    return tuple(Rung(runs // halving**i, budget // halving ** (times - i) if i < times else None) for i in range(times + 1))


def check_race(spec: AttackSpec, cls: type[Attack], budget: int | None) -> None:
    """That an attack can be raced as its line in the grid asks.

    Args:
        budget: the full one.

    Raises:
        BenchError: it names no budget, its budget is drawn, or it is too small to be divided.
    """
    halving = None if spec.sweep is None else spec.sweep.halving
    if spec.sweep is None or halving is None:
        return
    if not cls.budget:
        raise BenchError(
            f"attack '{spec.name}' cannot be raced: it does not say which hyperparameter is its budget",
            expected="a sweep without halving, or `budget` on the attack's class",
            got=f"halving: {halving}",
            hint='budget: ClassVar[str] = "steps", where more steps are a longer run of the same attack',
        )
    if cls.budget in spec.sweep.ranges:
        raise BenchError(
            f"attack '{spec.name}' cannot be raced over {cls.budget}: that is its budget, by which the runs of a race are compared",
            expected=f"{cls.budget} in params, one for all runs",
            got=f"{cls.budget} in the sweep's ranges",
            hint="leave it out of the ranges, or halving out of the sweep",
        )
    if budget is None or budget < halving:
        raise BenchError(
            f"attack '{spec.name}' cannot be raced: its budget, {cls.budget}, cannot be divided by {halving}",
            expected=f"a whole number of {halving} or more, or a smaller halving",
            got=f"{cls.budget}: {budget}",
        )


def standing(answers: Sequence[Any]) -> list[float]:
    """How good each run of a sweep is by the attack's own account; the higher, the better.

    That is the confidence of its best candidate where all runs have confidences, else minus its loss. Of a run that came to no end: −∞.

    Raises:
        AttackFault: the runs tell neither, or have put questions to an oracle, of which those of runs that drop out would not be counted.
    """
    confidences: list[Any] = [getattr(answer, "confidence", None) for answer in answers]
    losses = [getattr(answer, "loss", None) for answer in answers]
    if all(confidence is not None for confidence in confidences):
        values = [float(confidence.max()) for confidence in confidences]
    elif any(loss is not None for loss in losses):
        values = [-math.inf if loss is None else -float(loss) for loss in losses]
    else:
        raise AttackFault("the attack cannot be raced: its runs tell neither confidences nor a loss", expected="one of them")
    if any(getattr(answer, "used", None) for answer in answers):
        raise AttackFault("the attack cannot be raced: its questions are counted", expected="an attack that asks no oracle")
    return [value if math.isfinite(value) and value > DIVERGED else -math.inf for value in values]


def best(answers: Sequence[Any], count: int) -> list[int]:
    """The places of so many of the best runs, in their order; of equals the first. Raises as ``standing``."""
    values = standing(answers)
    return sorted(sorted(range(len(values)), key=lambda place: (-values[place], place))[:count])
