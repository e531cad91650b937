"""A grid with each data set made blind: the same settings, seeds and attacks, on members that nobody can draw again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bench.api import Setting
from bench.errors import BenchError
from bench.grids.read import Loaded

PREFIX = "blind:"


def blinded(loaded: Loaded) -> Loaded:
    """The grid on blind sets; labels of axes stay.

    Raises:
        BenchError: a data set of the grid is blind already.
    """
    grid = loaded.grid
    axes = {name: [value.model_copy(update={"set": _blind(value.set)}) for value in values] for name, values in grid.axes.items()}
    on_axis = any("dataset" in value.set for values in grid.axes.values() for value in values)
    base = dict(grid.base) if on_axis else {"dataset": Setting.model_fields["dataset"].default, **grid.base}
    attacks = [spec.model_copy(update={"setting": _blind(spec.setting)}) for spec in grid.attacks]
    return dataclasses.replace(loaded, grid=grid.model_copy(update={"base": _blind(base), "axes": axes, "attacks": attacks}))


def sighted(dataset: str) -> str:
    """The set behind a blind one."""
    return dataset.removeprefix(PREFIX)


def _blind(fields: Mapping[str, Any]) -> dict[str, Any]:
    name = fields.get("dataset")
    if name is None:
        return dict(fields)
    if str(name).startswith(PREFIX):
        raise BenchError(f"data set '{name}' is blind already", expected="a grid of public data sets", hint=f"dataset={sighted(name)}")
    return {**fields, "dataset": f"{PREFIX}{name}"}
