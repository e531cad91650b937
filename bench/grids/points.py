"""A grid's settings, one for each combination of axis values and seed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from bench.api import Setting
from bench.errors import BenchError
from bench.grids.faults import invalid
from bench.grids.model import AttackSpec, Grid

MAX_POINTS = 200_000  # settings × seeds; more is a mistyped axis


@dataclass(frozen=True)
class Point:
    """One setting of a grid, with the labels of the axes that led to it (in grid order, without the seed)."""

    setting: Setting
    axis: Mapping[str, str]


def of_attack(setting: Setting, spec: AttackSpec, source: str = "") -> Setting:
    """The setting of an attack's own target at a point of its grid: the point's, with the fields that the attack's line sets.

    Raises:
        BenchError: the two together are no valid setting.
    """
    if not spec.setting:
        return setting
    fields = {**setting.model_dump(), **spec.setting}
    try:
        return Setting.model_validate(fields)
    except ValidationError as error:
        raise invalid(error, f"grid {source}, attack {spec.name}", fields, None, Setting.model_fields) from error


def expand(grid: Grid, source: str = "") -> list[Point]:
    """All settings of a grid: axes vary from the last to the first (the last fastest), seeds fastest of all.

    Raises:
        BenchError: a setting that is not valid, or more than 200 000 of them, or two axis values that give one setting.
    """
    source = source or grid.name
    count = len(grid.seeds)
    for values in grid.axes.values():
        count *= len(values)
    if count > MAX_POINTS:
        raise BenchError(f"grid {source} spans {count} settings", expected=f"at most {MAX_POINTS}", hint="remove an axis or some values")
    points: list[Point] = []
    seen: dict[str, Mapping[str, str]] = {}
    for combination in itertools.product(*grid.axes.values()):
        axis = dict(zip(grid.axes, (value.label for value in combination), strict=True))
        fields = dict(grid.base)
        for value in combination:
            fields.update(value.set)
        try:
            first = Setting.model_validate({**fields, "seed": grid.seeds[0]})
        except ValidationError as error:
            where = f"grid {source}" + (f", {labels_of(axis)}" if axis else "")
            raise invalid(error, where, fields, None, Setting.model_fields) from error
        except RecursionError as error:
            raise BenchError(f"grid {source} is nested too deeply", expected="plain values") from error
        key = first.model_dump_json()
        if key in seen:
            raise BenchError(
                f"grid {source}: {labels_of(axis)} and {labels_of(seen[key])} are the same setting",
                expected="values that differ",
                hint="remove one of the two",
            )
        seen[key] = axis
        points += [Point(first if seed == first.seed else first.model_copy(update={"seed": seed}), axis) for seed in grid.seeds]
    return points


def labels_of(axis: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {label}" for name, label in axis.items()) or "the base setting"
