"""Contract tests run one by one: each holds, or is a failure with its message, and the others still run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from bench.faults import blame
from bench.torch_state import restored


@dataclass(frozen=True)
class Outcome:
    """One contract test: what was tested, whether it held, and what came if not."""

    name: str
    ok: bool
    detail: str = ""


class Tests:
    """Runs tests one by one; one that raises is a failure with its message, and the others still run."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def add(self, name: str, ok: bool, detail: str = "") -> None:
        self.outcomes.append(Outcome(name, ok, detail))

    def run(self, name: str, test: Callable[[], Any]) -> Any:
        """What the test returns (True for nothing), or None if it failed."""
        state = torch.get_rng_state()
        try:
            with restored():
                result = test()
        except (Exception, SystemExit) as error:
            self.add(name, False, str(error) if isinstance(error, BrokenError) else blame(error))
            return None
        finally:
            torch.set_rng_state(state)
        self.add(name, True)
        return True if result is None else result


class BrokenError(Exception):
    """A contract that does not hold."""


def need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BrokenError(otherwise)


def text(value: object) -> str:
    need(isinstance(value, str), f"returned {value!r}")
    return str(value)
