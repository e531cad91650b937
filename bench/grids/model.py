"""What a grid is: one YAML file that spans settings × seeds × attacks.

A grid is a ``base`` setting, ``axes`` (each a list of values), ``seeds`` and ``attacks``::

    name: weight_decay
    title: Weight decay
    question: Does weight decay make training images easier to rebuild?
    base: {dataset: lfw_faces, n_per_class: 10}
    axes:
      weight_decay: [0.0, 0.001, 0.003]          # the axis is a field of Setting, or
      task:                                      # ties several fields together under a label
        - {label: two classes, set: {classes: binary, loss: bce}}
        - {label: ten classes, set: {classes: 10, loss: ce}}
    seeds: 5                                     # a count (0 … 4) or a list
    attacks:
      - mean_image                               # controls stand in the same list
      - name: haim_kkt
        params: {steps: 3000}
        sweep: {runs: 4, ranges: {lr: {low: 1.0e-3, high: 1.0, scale: log}}}   # without ranges: those that the attack declares
        setting: {n_per_class: 5}                # targets of its own, where an attack needs others than the grid's base
      - {name: haim_kkt, sweep: {runs: 32, halving: 4}}   # a race: all runs for a 16th of the steps, 8 for a quarter, 2 to the end
    budget: {minutes: 30}                        # no new batch starts after that; what is left stays "to run"
    scales:                                      # the same grid larger or smaller: run --scale full; a page of its own, weight_decay_full
      full: {base: {n_per_class: 250}, seeds: 3} # base is merged, everything else replaced
    gallery: 20                                  # pictures of the 20 best members on each setting, instead of a strip of six
    published:                                   # figures of the paper, printed beside ours
      - {what: members above 0.4, column: recall_members, value: 0.3, at: 500 images, source: "Someone et al. 2022, Fig. 3"}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from bench.api import Plain, plain_values


class Range(Plain):
    """Where a sweep draws one hyperparameter from."""

    low: float = Field(description="lower end, included")
    high: float = Field(description="upper end")
    scale: Literal["log", "linear"] = Field("linear", description="'log': uniform in the logarithm")

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"a log range needs low > 0, not {self.low:g}")
        return self


class Sweep(Plain):
    """Several runs of one attack with drawn hyperparameters; their candidates are pooled."""

    runs: int = Field(ge=1, le=10_000, description="runs per cell")
    ranges: dict[str, Range] = Field(default_factory=dict, description="attack hyperparameter → range; none: the attack's own ranges")
    halving: int | None = Field(default=None, description="a race: one run in so many goes on, so many times as long; null: no race")

    @model_validator(mode="after")
    def _raced(self) -> Sweep:
        if self.halving is not None and not 2 <= self.halving <= self.runs:
            raise ValueError(f"halving is a whole number from 2 to the number of runs, {self.runs}, not {self.halving}")
        return self


class AttackSpec(Plain):
    """One line of a grid's ``attacks``: which attack or control, with which hyperparameters."""

    name: str = Field(min_length=1, description="name in the registry")
    params: dict[str, Any] = Field(default_factory=dict, description="hyperparameters that differ from the attack's defaults")
    sweep: Sweep | None = Field(None, description="runs with drawn hyperparameters")
    setting: dict[str, Any] = Field(default_factory=dict, description="Setting fields of this attack's own targets, over the grid's base")

    _plain = field_validator("params")(plain_values)

    @model_validator(mode="after")
    def _apart(self) -> AttackSpec:
        both = sorted(set(self.params) & set(self.sweep.ranges if self.sweep else ()))
        if both:
            raise ValueError(f"{', '.join(both)} is both in params and in the sweep's ranges")
        return self


class AxisValue(Plain):
    """One value of an axis: the fields it sets, and how tables call it."""

    label: str = Field(min_length=1, description="as tables and plots name it")
    set: dict[str, Any] = Field(min_length=1, description="Setting field → value")


class Published(Plain):
    """A figure that a paper prints, to stand beside ours on the grid's page."""

    what: str = Field(min_length=1, description="what was measured, in words")
    column: str = Field(min_length=1, description="our score column that measures the same (python -m bench info schema)")
    value: float = Field(description="the paper's value, in the column's unit")
    at: str = Field(min_length=1, description="at which scale and setting the paper measured it")
    source: str = Field(min_length=1, description="paper, with its table, figure or section")
    axis: dict[str, str] = Field(default_factory=dict, description="axis → label of our cells that stand beside it; empty: all cells")

    @field_validator("axis", mode="before")
    @classmethod
    def _labels(cls, value: Any) -> Any:
        return {axis: label_of(label) for axis, label in value.items()} if isinstance(value, Mapping) else value


class Budget(Plain):
    """When to stop starting new work."""

    minutes: float | None = Field(None, gt=0, description="wall-clock minutes; null: no limit")


class Grid(Plain):
    """A validated grid. ``expand`` turns it into points."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60, description="snake_case; names the results page")
    title: str = Field("", description="heading of the results page")
    question: str = Field("", description="what the grid is there to answer, one sentence")
    base: dict[str, Any] = Field(default_factory=dict, description="Setting fields shared by all cells")
    axes: dict[str, list[AxisValue]] = Field(default_factory=dict, description="axis → values")
    seeds: list[int] = Field(min_length=1, description="a count, or a list of seeds")
    attacks: list[AttackSpec] = Field(min_length=1, description="attacks and controls")
    budget: Budget = Field(default_factory=lambda: Budget(minutes=None), description="when to stop")
    published: list[Published] = Field(default_factory=list, description="the paper's own figures, printed beside ours")
    gallery: int | None = Field(None, ge=1, le=100, description="best members shown as pictures on each setting; null: a strip of six")
    scales: dict[str, dict[str, Any]] = Field(default_factory=dict, description="scale → parts of the grid that differ there")
    smallest: dict[str, Any] = Field(default_factory=dict, description="overrides that make the smallest real cell, for continuous tests")

    @field_validator("seeds", mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= 10_000:
                raise ValueError("a count of seeds lies between 1 and 10000")
            return list(range(value))
        return value

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: list[int]) -> list[int]:
        if len(set(value)) != len(value):
            raise ValueError("a seed appears twice")
        if any(not 0 <= seed < 2**31 for seed in value):
            raise ValueError("a seed lies between 0 and 2147483647")
        return value

    @field_validator("attacks", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return [{"name": item} if isinstance(item, str) else item for item in value] if isinstance(value, list) else value

    @field_validator("axes", mode="before")
    @classmethod
    def _values(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {axis: [axis_value(axis, item) for item in items] if isinstance(items, list) else items for axis, items in value.items()}


def axis_value(axis: Any, item: Any) -> Any:
    """A scalar of axis ``f`` stands for ``{label: scalar, set: {f: scalar}}``."""
    if isinstance(item, Mapping) and ("set" in item or "label" in item):
        return dict(item)
    return {"label": label_of(item), "set": {axis: item}}


def label_of(value: Any) -> str:
    if value is None:
        return "default"
    if isinstance(value, list | tuple):
        return "-".join(str(part) for part in value) or "[]"
    return str(value) or "''"
