"""The runs of a cell whose hyperparameters are drawn: from which ranges, and which values."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, cast

from bench import registry, seeds
from bench.api import Attack
from bench.engine.canonical import canonical
from bench.errors import BenchError
from bench.grids.load import AttackSpec, Grid, Range, Sweep


def with_ranges(spec: AttackSpec, cls: type[Attack]) -> AttackSpec:
    """A sweep that names no ranges draws from the attack's own, those of hyperparameters that the grid fixes aside."""
    if spec.sweep is None or spec.sweep.ranges:
        return spec
    ranges = {
        name: Range.model_validate({"low": low, "high": high, "scale": scale})
        for name, (low, high, scale) in cls.ranges.items()
        if name not in spec.params
    }
    if not ranges:
        raise BenchError(
            f"attack '{spec.name}' declares no ranges to sweep",
            expected="ranges in the grid's sweep, or `ranges` on the attack's class",
            got="a sweep without ranges",
            hint="sweep: {runs: 4, ranges: {lr: {low: 1.0e-3, high: 1.0, scale: log}}}",
        )
    return spec.model_copy(update={"sweep": spec.sweep.model_copy(update={"ranges": ranges})})


def with_runs(grid: Grid, runs: int) -> Grid:
    """The grid with so many runs a cell, hyperparameters drawn, of every attack that has a sweep or declares ranges for one.

    Raises:
        BenchError: fewer than one run, more than ten thousand, or no such attack.
    """
    if not 1 <= runs <= 10_000:
        raise BenchError(f"--runs {runs}: not understood", expected="runs a cell, 1 to 10000", got=str(runs))
    swept = []
    for spec in grid.attacks:
        if spec.sweep is not None:
            swept.append(spec.model_copy(update={"sweep": spec.sweep.model_copy(update={"runs": runs})}))
        elif _declared(spec.name) - set(spec.params):
            swept.append(spec.model_copy(update={"sweep": Sweep(runs=runs)}))
        else:
            swept.append(spec)
    if all(spec.sweep is None for spec in swept):
        raise BenchError(
            f"--runs {runs}: no attack of grid '{grid.name}' has hyperparameters to draw",
            expected="an attack with a sweep, or with `ranges` on its class",
            got=", ".join(spec.name for spec in grid.attacks),
            hint="--attack haim_kkt",
        )
    return grid.model_copy(update={"attacks": swept})


def _declared(name: str) -> set[str]:
    """The hyperparameters that an attack declares ranges of; none where its file cannot be imported, which the plan reports."""
    try:
        return set(cast("type[Attack]", registry.get("attack", name)).ranges)
    except BenchError:
        return set()


def draws(spec: AttackSpec, cls: type) -> list[dict[str, Any]]:
    """The hyperparameters drawn for each run of a sweep; one empty draw without one.

    Run k's draw depends on the attack's name, its parameters, its ranges and k, not on the setting: all cells of a grid try the same
    values, which pairs them by seed and lets runs of one shape be stacked.
    """
    if spec.sweep is None:
        return [{}]
    whole = {f.name for f in dataclasses.fields(cls) if f.type in (int, "int")}
    result = []
    ranges = {name: spec.sweep.ranges[name] for name in sorted(spec.sweep.ranges)}
    for run in range(spec.sweep.runs):
        draw: dict[str, Any] = {}
        for name, bounds in ranges.items():
            stream = seeds.numpy_generator("sweep", spec.name, canonical(spec.params), name, bounds.model_dump_json(), run)
            u = float(stream.random())
            if bounds.scale == "log":
                value = math.exp(math.log(bounds.low) + u * (math.log(bounds.high) - math.log(bounds.low)))
            else:
                value = bounds.low + u * (bounds.high - bounds.low)
            value = min(max(value, bounds.low), bounds.high)
            draw[name] = round(value) if name in whole else value
        result.append(draw)
    return result
