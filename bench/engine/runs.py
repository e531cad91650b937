"""``--runs N``: a grid whose cells are sweeps of N runs."""

from __future__ import annotations

from typing import cast

from bench import registry
from bench.api import Attack
from bench.engine.canonical import canonical
from bench.engine.prepare import prepare
from bench.errors import BenchError
from bench.grids.model import AttackSpec, Grid, Sweep


def with_runs(grid: Grid, runs: int) -> Grid:
    """The grid with so many runs a cell, hyperparameters drawn, of every attack that has a sweep or declares ranges for one.

    Where a grid lists an attack with a sweep, its other lines on the same targets stay as they are: whoever wrote it set values chosen by
    hand beside values drawn. Sweeps that differed in their number of runs alone become one.

    Raises:
        BenchError: fewer than one run, more than ten thousand, too few for a race, or no such attack.
    """
    if not 1 <= runs <= 10_000:
        raise BenchError(f"--runs {runs}: not understood", expected="runs a cell, 1 to 10000", got=str(runs))
    listed = {(spec.name, canonical(spec.setting)) for spec in grid.attacks if spec.sweep is not None}
    lines: list[AttackSpec] = []
    seen = set()
    for spec in grid.attacks:
        ranges = halving = None
        if spec.sweep is not None:
            ranges, halving = spec.sweep.ranges, spec.sweep.halving
        elif (spec.name, canonical(spec.setting)) not in listed and _declared(spec.name) - set(spec.params):
            ranges = {}
        if ranges is not None:
            if halving is not None and runs < halving:
                raise BenchError(
                    f"--runs {runs}: too few to race attack '{spec.name}', of whose runs the grid lets one in {halving} go on",
                    expected=f"{halving} runs or more",
                    got=str(runs),
                    hint="a grid file whose sweep has no halving",
                )
            spec = spec.model_copy(update={"sweep": Sweep(runs=runs, ranges=ranges, halving=halving)})
            few = Sweep(runs=halving or 1, ranges=ranges, halving=halving)  # as good for telling lines apart, and sooner drawn
            one = spec.model_copy(update={"sweep": few})
            identity = prepare(one).identity
            if identity in seen:
                continue
            seen.add(identity)
        lines.append(spec)
    if all(spec.sweep is None for spec in lines):
        raise BenchError(
            f"--runs {runs}: no attack of grid '{grid.name}' has hyperparameters to draw",
            expected="an attack with a sweep, or with `ranges` on its class",
            got=", ".join(dict.fromkeys(spec.name for spec in grid.attacks)),
            hint="leave --runs out",
        )
    return grid.model_copy(update={"attacks": lines})


def _declared(name: str) -> set[str]:
    """The hyperparameters that an attack declares ranges of; none where its file cannot be imported, which the plan reports."""
    try:
        return set(cast("type[Attack]", registry.get("attack", name)).ranges)
    except BenchError:
        return set()
