"""The runs of a cell whose hyperparameters are drawn: from which ranges, and which values."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from bench import seeds
from bench.api import Attack
from bench.engine.canonical import canonical
from bench.errors import BenchError
from bench.grids.model import AttackSpec, Range


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
