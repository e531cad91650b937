"""What a run says before and after: its plan, how many cells became what, which failed and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.say import say

if TYPE_CHECKING:
    from bench.engine.plan import Plan
    from bench.engine.run import Summary


def show_plan(planned: Plan, as_json: bool, answered: int = 0) -> None:
    """The cells and their states.

    Args:
        answered: how many of those that are to run need no attack, for an answer that an earlier score protocol scored is kept.
    """
    if as_json:
        import json

        cells = [
            {"cell": c.id, "attack": c.attack.spec.name, "axis": dict(c.axis), "seed": c.setting.seed, "state": c.state, "reason": c.reason}
            for c in planned.cells
        ]
        print(json.dumps({"grid": planned.grid, "counts": planned.counts(), "answered": answered, "cells": cells}))
        return
    wide = max((len(c.attack.spec.name) for c in planned.cells), default=0)
    for c in planned.cells:
        axis = ", ".join(f"{name}={label}" for name, label in c.axis.items())
        print(f"{c.state:<13}  {c.attack.spec.name:<{wide}}  {axis}  seed {c.setting.seed}  {c.id}" + (f"  {c.reason}" if c.reason else ""))
    counts = ", ".join(f"{count} {state}" for state, count in planned.counts().items() if count)
    print(f"{planned.grid}: {len(planned.cells)} cells: {counts or 'none'}")
    if answered:
        print(f"of those to run, {answered} can be scored again and need no attack: an earlier score protocol scored answers that are kept")


def counts(summary: Summary) -> dict[str, int]:
    names = ("total", "ok", "cached", "failed", "skipped", "left")
    return {name: getattr(summary, name) for name in names}


def failures(summary: Summary) -> list[dict[str, str]]:
    return [{"cell": cell, "reason": reason} for cell, reason in summary.failures]


def tell(summary: Summary, again: str, total: float, pages: float) -> None:
    """The last lines of a run: how many, how long (seconds, those for publishing and pages among them), which failed, why, and what to
    type."""
    parts = [
        f"{getattr(summary, name)} {word}"
        for name, word in (("ok", "run"), ("cached", "cached"), ("skipped", "skipped"))
        if getattr(summary, name)
    ]
    took = f"{total:.0f} s" + (f": {summary.seconds:.0f} s for the cells, {pages:.0f} s for tables and pages" if pages >= 1 else "")
    say(f"{summary.grid}: {', '.join(parts) or 'nothing done'}, {summary.failed} failed of {summary.total} cells, {took}")
    if summary.beside:
        named = ", ".join(f"{name} ({held})" for name, held in summary.beside.items())
        say(f"not apart from the secret, as the column `isolation` says: {named}")
    if summary.out_of_budget:
        say(f"the grid's budget of time is spent: {summary.left} cells are left to run; go on with\n  {again}")
    if not summary.failures:
        return
    by_reason: dict[str, list[str]] = {}
    for cell, reason in summary.failures:
        by_reason.setdefault(reason, []).append(cell)
    say_grouped("failed", by_reason)
    say(f"run just these again with\n  {again} --retry failed")


def say_grouped(word: str, by_reason: Mapping[str, Sequence[str]]) -> None:
    """Each reason once, with the first of its cells."""
    for reason, cells in by_reason.items():
        say(f"{word}: {reason}")
        for cell in cells[:5]:
            say(f"  {cell}")
        if len(cells) > 5:
            say(f"  and {len(cells) - 5} more")
