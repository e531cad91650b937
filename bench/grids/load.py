"""Reads a grid: one YAML file that spans settings × seeds × attacks, checked before anything runs.

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
    budget: {minutes: 30}                        # no new batch starts after that; what is left stays "to run"
    scales:                                      # the same grid larger or smaller: run --scale full; a page of its own, weight_decay_full
      full: {base: {n_per_class: 250}, seeds: 3} # base is merged, everything else replaced
    gallery: 20                                  # pictures of the 20 best members on each setting, instead of a strip of six
    published:                                   # figures of the paper, printed beside ours
      - {what: members above 0.4, column: recall_members, value: 0.3, at: 500 images, source: "Someone et al. 2022, Fig. 3"}

Everything wrong with a file becomes one ``BenchError`` that names the file, the line and the field. No torch is imported here, and no
attack: names are checked against the registry's static listing, parameters when the plan is made.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
import types
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bench import registry
from bench.api import Setting
from bench.errors import BenchError, did_you_mean

FOLDER = Path(__file__).resolve().parent
MAX_BYTES = 1_000_000  # a grid is written by hand; more is a wrong file
MAX_NODES = 100_000  # expanded through aliases: stops an alias bomb before it is built
MAX_DEPTH = 40
MAX_POINTS = 200_000  # settings × seeds; more is a mistyped axis
SMALL = "small"  # the scale that every grid has: as it stands, for two cores


class Range(BaseModel):
    """Where a sweep draws one hyperparameter from."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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


class Sweep(BaseModel):
    """Several runs of one attack with drawn hyperparameters; their candidates are pooled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: int = Field(ge=1, le=10_000, description="runs per cell")
    ranges: dict[str, Range] = Field(default_factory=dict, description="attack hyperparameter → range; none: the attack's own ranges")


class AttackSpec(BaseModel):
    """One line of a grid's ``attacks``: which attack or control, with which hyperparameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="name in the registry")
    params: dict[str, Any] = Field(default_factory=dict, description="hyperparameters that differ from the attack's defaults")
    sweep: Sweep | None = Field(None, description="runs with drawn hyperparameters")
    setting: dict[str, Any] = Field(default_factory=dict, description="Setting fields of this attack's own targets, over the grid's base")

    @field_validator("params")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        # parameters enter the cell's key as JSON, so they must survive the trip
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"parameters must be plain numbers, texts, lists and mappings ({error})") from error
        return value

    @model_validator(mode="after")
    def _apart(self) -> AttackSpec:
        both = sorted(set(self.params) & set(self.sweep.ranges if self.sweep else ()))
        if both:
            raise ValueError(f"{', '.join(both)} is both in params and in the sweep's ranges")
        return self


class AxisValue(BaseModel):
    """One value of an axis: the fields it sets, and how tables call it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(min_length=1, description="as tables and plots name it")
    set: dict[str, Any] = Field(min_length=1, description="Setting field → value")


class Published(BaseModel):
    """A figure that a paper prints, to stand beside ours on the grid's page."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    what: str = Field(min_length=1, description="what was measured, in words")
    column: str = Field(min_length=1, description="our score column that measures the same (python -m bench info schema)")
    value: float = Field(description="the paper's value, in the column's unit")
    at: str = Field(min_length=1, description="at which scale and setting the paper measured it")
    source: str = Field(min_length=1, description="paper, with its table, figure or section")
    axis: dict[str, str] = Field(default_factory=dict, description="axis → label of our cells that stand beside it; empty: all cells")

    @field_validator("axis", mode="before")
    @classmethod
    def _labels(cls, value: Any) -> Any:
        return {axis: _label(label) for axis, label in value.items()} if isinstance(value, Mapping) else value


class Budget(BaseModel):
    """When to stop starting new work."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    minutes: float | None = Field(None, gt=0, description="wall-clock minutes; null: no limit")


class Grid(BaseModel):
    """A validated grid. ``expand`` turns it into points."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
        return {axis: [_axis_value(axis, item) for item in items] if isinstance(items, list) else items for axis, items in value.items()}


@dataclass(frozen=True)
class Point:
    """One setting of a grid, with the labels of the axes that led to it (in grid order, without the seed)."""

    setting: Setting
    axis: Mapping[str, str]


@dataclass(frozen=True)
class Loaded:
    """A grid with where it came from, for messages and for the command that reruns cells."""

    grid: Grid
    source: str  # path of the file
    asked: str  # as the user named it: a built-in name or a path
    overrides: tuple[str, ...] = ()


def builtin() -> dict[str, Path]:
    """The grids that ship with the project, by name, sorted."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def titles() -> dict[str, str]:
    """Name → question of each built-in grid, for listings; a broken file is listed with its fault."""
    result = {}
    for name, path in builtin().items():
        try:
            raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
            result[name] = str(raw.get("question") or raw.get("title") or "")
        except (yaml.YAMLError, OSError, AttributeError, ValueError, RecursionError) as error:
            result[name] = f"broken file: {type(error).__name__}"
    return result


def load(asked: str | Path, overrides: Sequence[str] = (), scale: str = "") -> Loaded:
    """A grid by built-in name or by path, at a scale, with ``field=value`` overrides applied.

    Args:
        scale: one of the grid's ``scales``; empty or ``small``, where it has none of that name: the grid as it stands.

    Raises:
        BenchError: unknown name, unreadable or broken file, or anything in it that is not as the models above say.
    """
    path = _find(str(asked))
    source = str(path)
    text = _read(path)
    raw, node = parse(text, source)
    grid = validate(raw, source, node)
    larger = {name: validate(at_scale(raw, name), f"{source}, scale {name}") for name in grid.scales}
    for name, other in larger.items():
        expand(other, f"{source}, scale {name}")  # each is valid, whichever is asked for
    if scale in larger:
        grid = larger[scale]
    elif scale not in ("", SMALL):
        known = [SMALL, *larger]
        raise BenchError(
            f"grid '{grid.name}' has no scale '{scale}'.{did_you_mean(scale, known)}",
            expected="one of " + ", ".join(known),
            got=repr(scale),
        )
    grid = override(grid, overrides)
    expand(grid, source)  # every setting is valid, or the user hears of it now
    return Loaded(grid, source, str(asked), tuple(overrides))


def at_scale(raw: Mapping[str, Any], scale: str) -> dict[str, Any]:
    """The plain data of a grid at one of its scales: ``base`` merged, other parts replaced, under a name and a title of its own."""
    changes = raw["scales"][scale]
    title = changes.get("title") or f"{raw.get('title') or raw['name']} ({scale} scale)"
    base = {**(raw.get("base") or {}), **(changes.get("base") or {})}
    merged = {**raw, **changes, "base": base, "name": f"{raw['name']}_{scale}", "title": title}
    return {key: value for key, value in merged.items() if key != "scales"}


def parse(text: str, source: str) -> tuple[dict[str, Any], yaml.Node | None]:
    """YAML text to plain data, by a loader that builds no objects. Returns the data and the node tree (for line numbers)."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is None:
            raise BenchError(f"grid {source} is empty", expected="a mapping with name, base, axes, seeds and attacks", hint=_HINT)
        _measure(node, source)
        loader = _Loader(text)
        try:
            raw = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _broken(error, source) from error
    except (RecursionError, ValueError, OverflowError, TypeError, AttributeError) as error:
        raise BenchError(
            f"grid {source} cannot be read as YAML", expected="a small mapping of plain values", got=f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(raw, dict):
        raise BenchError(
            f"grid {source} is not a mapping",
            expected="a mapping with name, base, axes, seeds and attacks",
            got=f"{type(raw).__name__}: {str(raw)[:60]!r}",
            hint=_HINT,
        )
    return raw, node


def validate(raw: Mapping[str, Any], source: str, node: yaml.Node | None = None) -> Grid:
    """Plain data to a grid: field names, types, ranges, attack names, labels."""
    try:
        grid = Grid.model_validate(raw)
    except ValidationError as error:
        raise _invalid(error, source, raw, node, Grid.model_fields) from error
    except RecursionError as error:
        raise BenchError(f"grid {source} is nested too deeply", expected="a small mapping of plain values") from error
    fields = [name for name in Setting.model_fields if name != "seed"]
    for name in grid.base:
        _check_field(name, fields, f"{_at(source, node, ('base', name))}: base.{name}")
    for axis, values in grid.axes.items():
        where = f"{_at(source, node, ('axes', axis))}: axes.{axis}"
        if not values:
            raise BenchError(f"{where} has no values", expected="a list of at least one value", hint="add values or remove the axis")
        for value in values:
            for name in value.set:
                _check_field(name, fields, where if name == axis else f"{where} ({value.label}).set.{name}", axis=name == axis)
        labels = [value.label for value in values]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise BenchError(
                f"{where} has two values labelled '{twice[0]}'",
                expected="one label, one value",
                hint="remove one, or give it its own label",
            )
    _check_tied(grid, source)
    for position, figure in enumerate(grid.published):
        for name in figure.axis:
            if name not in grid.axes:
                raise BenchError(
                    f"{_at(source, node, ('published', position))}: published[{position}]: unknown axis '{name}'."
                    f"{did_you_mean(name, grid.axes)}",
                    expected="one of " + (", ".join(grid.axes) or "(the grid has no axes)"),
                    got=repr(name),
                    hint="leave axis out for a figure of the whole grid",
                )
    known = registry.entries("attack")
    seen: set[str] = set()
    for position, spec in enumerate(grid.attacks):
        where = f"{_at(source, node, ('attacks', position))}: attacks[{position}]"
        if spec.name not in known:
            raise BenchError(
                f"{where}: unknown attack '{spec.name}'.{did_you_mean(spec.name, known)}",
                expected="one of " + (", ".join(known) or "(no attack is installed)"),
                got=repr(spec.name),
                hint="python -m bench ls, or load a file with --plugin PATH",
            )
        tied = {name: axis for axis, values in grid.axes.items() for value in values for name in value.set}
        for name in spec.setting:
            _check_field(name, fields, f"{where}: setting.{name}")
            if name in tied:
                raise BenchError(
                    f"{where}: '{name}' is on the axis '{tied[name]}'", expected="fields that no axis sets", hint=f"remove {name}"
                )
        key = spec.model_dump_json()
        if key in seen:
            raise BenchError(f"{where}: '{spec.name}' stands twice with the same parameters", expected="each once", hint="remove one")
        seen.add(key)
    return grid


def override(grid: Grid, overrides: Sequence[str]) -> Grid:
    """Applies ``field=value`` texts (values are YAML).

    A field that is an axis: the axis shrinks to that one value. A field tied inside another axis: it is replaced in every value
    of that axis. Any other field: it replaces the base's. ``axis=label`` picks one value of a tied axis.

    Raises:
        BenchError: no ``=``, unknown field (with the nearest), ``seed`` (``--seeds`` is for that), or a value that is no YAML.
    """
    base, axes, attacks = dict(grid.base), dict(grid.axes), list(grid.attacks)
    fields = [name for name in Setting.model_fields if name != "seed"]
    for text in overrides:
        name, equals, raw = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise BenchError(f"--set {text}: not understood", expected="field=value, as in --set n_per_class=20", got=repr(text))
        if name == "seed":
            raise BenchError(f"--set {text}: seeds have their own option", expected="--seeds 0,1,2 or --seeds 0-4", got=repr(text))
        value = value_of(raw, f"--set {text}", f"--set '{name}=...'")
        if name in axes and name not in fields:
            chosen = [v for v in axes[name] if v.label == str(value) or v.label == raw.strip()]
            if not chosen:
                labels = [v.label for v in axes[name]]
                raise BenchError(
                    f"--set {text}: axis '{name}' has no value '{raw}'.{did_you_mean(raw, labels)}", expected="one of " + ", ".join(labels)
                )
            axes[name] = chosen
            continue
        head, dot, key = name.partition(".")
        if dot and head == "defense_params":
            raise BenchError(
                f"--set {text}: a defence's hyperparameters are set together",
                expected="one mapping",
                got=repr(name),
                hint=f"--set {shlex.quote(f'{head}={{{key}: {raw}}}')}",
            )
        _check_field(name, fields, f"--set {text}")
        _check_value(name, value, f"--set {text}")
        if name in axes:
            axes[name] = [AxisValue(label=_label(value), set={name: value})]
            continue
        base[name] = value
        for axis, values in axes.items():
            tied = [AxisValue(label=v.label, set={**v.set, name: value}) if name in v.set else v for v in values]
            distinct: dict[str, AxisValue] = {}
            for v in tied:
                distinct.setdefault(json.dumps(v.set, sort_keys=True, default=str), v)
            axes[axis] = list(distinct.values())
        attacks = [spec.model_copy(update={"setting": {**spec.setting, name: value}}) if name in spec.setting else spec for spec in attacks]
    return grid.model_copy(update={"base": base, "axes": axes, "attacks": attacks})


def value_of(raw: str, where: str, example: str) -> Any:
    """The value of an option ``NAME=VALUE``, as a grid file would have it.

    Raises:
        BenchError: no YAML.
    """
    try:
        return yaml.load(raw, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise BenchError(
            f"{where}: the value is no YAML",
            expected="a number, a word, or a list like [500, 500]",
            got=raw,
            hint=f"{example}, in quotes where a space is in it",
        ) from error


def select_attacks(grid: Grid, names: Sequence[str], extra: Sequence[str] = ()) -> Grid:
    """Only the named attacks; a name that the grid does not list joins with its default parameters. ``extra`` join in any case.

    Raises:
        BenchError: a name that neither the grid nor the registry knows.
    """
    chosen = [spec for spec in grid.attacks if not names or spec.name in names]
    listed = {spec.name for spec in grid.attacks}
    known = registry.entries("attack")
    for name in dict.fromkeys([*names, *extra]):
        if name in listed:
            continue
        if name not in known:
            raise BenchError(
                f"unknown attack '{name}'.{did_you_mean(name, known)}",
                expected="one of " + ", ".join(known),
                got=repr(name),
                hint="--attack once for each" if "," in name else "python -m bench ls, or load a file with --plugin PATH",
            )
        if not names or name in names:
            chosen.append(AttackSpec(name=name, sweep=None))
    return grid.model_copy(update={"attacks": chosen})


def select_seeds(grid: Grid, text: str) -> Grid:
    """The seeds of ``--seeds``: ``0``, ``0,3,5`` or ``0-4``; a list, never a count.

    Raises:
        BenchError: anything else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})\s*(?:-\s*(\d{1,10})\s*)?", part)
        low = int(match[1]) if match else 0
        high = int(match[2]) if match and match[2] else low
        if match is None or not 0 <= low <= high < 2**31 or high - low >= 10_000:
            raise BenchError(
                f"--seeds {text}: not understood",
                expected="seeds as in 0 or 0,3,5 or 0-4, the lower one first, at most 10000 of them, none above 2147483647",
                got=repr(part),
                hint="--seeds 0-4",
            )
        seeds += range(low, high + 1)
    return grid.model_copy(update={"seeds": list(dict.fromkeys(seeds))})


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
        raise _invalid(error, f"grid {source}, attack {spec.name}", fields, None, Setting.model_fields) from error


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
            where = f"grid {source}" + (f", {_labels(axis)}" if axis else "")
            raise _invalid(error, where, fields, None, Setting.model_fields) from error
        except RecursionError as error:
            raise BenchError(f"grid {source} is nested too deeply", expected="plain values") from error
        key = first.model_dump_json()
        if key in seen:
            raise BenchError(
                f"grid {source}: {_labels(axis)} and {_labels(seen[key])} are the same setting",
                expected="values that differ",
                hint="remove one of the two",
            )
        seen[key] = axis
        points += [Point(first if seed == first.seed else first.model_copy(update={"seed": seed}), axis) for seed in grid.seeds]
    return points


# ---------------------------------------------------------------------------------------------------------------- reading


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with numbers as people write them: 1e-4 and 1.5e3 are some, where YAML 1.1 wants 1.0e-4 and 1.5e+3; and 010 and
    1:30 are no 8 and 90, nor is 2001-01-01 a date."""


_INTEGER = r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)"
_FLOAT = (
    r"[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)
_OWN = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp", "value")}
_Loader.yaml_implicit_resolvers = {
    key: [(tag, pattern) for tag, pattern in value if tag not in _OWN] for key, value in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(f"^(?:{_INTEGER})$"), list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^(?:{_FLOAT})$"), list("-+.0123456789"))

_HINT = f"{Path(__file__).parent / 'quick.yaml'} is a complete grid"


def options_of(page: str) -> str:
    """How ``run`` is asked for the rows of a page, ``--grid width --scale medium`` for ``width_medium``; nothing for that of no built-in
    grid. Any case, with or without a folder and an ending."""
    stem = re.sub(r"[-\s]", "_", re.split(r"[/\\]", page)[-1].partition(".")[0]).lower()
    for grid, path in builtin().items():
        if stem == grid:
            return f"--grid {grid}"
        scale = stem.removeprefix(f"{grid}_")
        if scale != stem and scale in (yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader).get("scales") or {}):
            return f"--grid {grid} --scale {scale}"
    return ""


def _find(asked: str) -> Path:
    known = builtin()
    if asked in known:
        return known[asked]
    path = Path(asked).expanduser()
    is_page, meant = path.suffix in (".md", ".parquet"), options_of(asked)
    if not is_page and (asked.endswith((".yaml", ".yml")) or "/" in asked):
        if path.is_file():
            return path
        raise BenchError(
            f"grid file not found: {asked}",
            expected="a YAML file",
            got="a folder" if path.is_dir() else "no such file",
            hint=f"python -m bench run {meant}" if meant else "check the path; built in are " + ", ".join(known),
        )
    raise BenchError(
        f"unknown grid '{asked}'." + ("" if meant else did_you_mean(asked, known)),
        expected="one of " + ", ".join(known) + ", or a file.yaml",
        got="a page of results" if is_page else repr(asked),
        hint=f"python -m bench run {meant}" if meant else "python -m bench ls",
    )


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BenchError(f"grid {path} is {path.stat().st_size} bytes long", expected=f"at most {MAX_BYTES}", hint="is it a grid?")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"grid {path} cannot be read", expected="a UTF-8 text file", got=f"{type(error).__name__}: {error}") from error


def _measure(root: yaml.Node, source: str) -> None:
    """Walks the tree as it will be built, aliases expanded: refuses bombs, self-references, doubled keys and object tags."""
    stack: list[tuple[yaml.Node, int]] = [(root, 0)]
    count = 0
    while stack:
        node, depth = stack.pop()
        count += 1
        line = node.start_mark.line + 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise BenchError(
                f"grid {source}, line {line}: nested too deeply, too large, or an alias that refers to itself",
                expected=f"at most {MAX_DEPTH} levels and {MAX_NODES} values",
            )
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.startswith("tag:yaml.org,2002:python"):
            raise BenchError(
                f"grid {source}, line {line}: the tag {node.tag!r} is refused",
                expected="plain values (numbers, texts, lists, mappings); a grid builds no objects",
                hint="remove the tag",
            )
        if isinstance(node, yaml.MappingNode):
            keys = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if key.value in keys:
                        raise BenchError(
                            f"grid {source}, line {key.start_mark.line + 1}: '{key.value}' stands twice", expected="each key once"
                        )
                    keys.add(key.value)
                stack += [(key, depth + 1), (value, depth + 1)]
        elif isinstance(node, yaml.SequenceNode):
            stack += [(item, depth + 1) for item in node.value]


def _broken(error: yaml.YAMLError, source: str) -> BenchError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    problem = " ".join(str(part) for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part)
    return BenchError(
        f"grid {source}{line}: broken YAML", expected="well-formed YAML", got=problem or str(error).partition("\n")[0], hint=_HINT
    )


# -------------------------------------------------------------------------------------------------------------- checking


def _axis_value(axis: Any, item: Any) -> Any:
    """A scalar of axis ``f`` stands for ``{label: scalar, set: {f: scalar}}``."""
    if isinstance(item, Mapping) and ("set" in item or "label" in item):
        return dict(item)
    return {"label": _label(item), "set": {axis: item}}


def _label(value: Any) -> str:
    if value is None:
        return "default"
    if isinstance(value, list | tuple):
        return "-".join(str(part) for part in value) or "[]"
    return str(value) or "''"


def _labels(axis: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {label}" for name, label in axis.items()) or "the base setting"


def _check_field(name: str, fields: Iterable[str], where: str, axis: bool = False) -> None:
    fields = list(fields)
    if name in fields:
        return
    if name == "seed":
        raise BenchError(
            f"{where}: seeds are no setting of a grid", expected="the grid's own `seeds:`", hint="write seeds: 5 or seeds: [0, 1]"
        )
    raise BenchError(
        f"{where}: unknown setting field '{name}'.{did_you_mean(str(name), fields)}",
        expected="one of " + ", ".join(fields) + (", or values of the form {label: ..., set: {field: value}}" if axis else ""),
        got=repr(name),
        hint="python -m bench info setting",
    )


def _check_value(name: str, value: Any, where: str) -> None:
    """One field's value, whatever the other fields are."""
    try:
        Setting.__pydantic_validator__.validate_assignment(Setting.model_construct(), name, value)
    except ValidationError as error:
        own = [e for e in error.errors() if e["loc"][:1] == (name,)]
        if own:
            one = own[0]["type"] == "tuple_type" and isinstance(value, int | float)
            raise BenchError(
                f"{where}: {_message(own[0])}",
                expected=_expected(Setting.model_fields[name]),
                got=_shown(value),
                hint=f"--set '{name}=[{value}]'" if one else "python -m bench info setting",
            ) from error


def _message(fault: Any) -> str:
    """What pydantic finds wrong, in words of this project."""
    return "a list is wanted" if fault["type"] == "tuple_type" else str(fault["msg"]).removeprefix("Value error, ")


def _check_tied(grid: Grid, source: str) -> None:
    """Two axes that set one field would hide one another."""
    owner: dict[str, str] = {}
    for axis, values in grid.axes.items():
        for name in sorted({name for value in values for name in value.set}):
            if name in owner:
                raise BenchError(
                    f"grid {source}: axes '{owner[name]}' and '{axis}' both set '{name}'",
                    expected="one axis a field",
                    hint="tie them in one",
                )
            owner[name] = axis


def _invalid(error: ValidationError, where: str, raw: Any, node: yaml.Node | None, fields: Mapping[str, Any]) -> BenchError:
    """The first fault that pydantic found, as file, line, field, what was expected and what came."""
    fault = error.errors(include_url=False)[0]
    path: list[Hashable] = [part for part in fault["loc"] if isinstance(part, str | int)]
    path = [
        part for part in path if not (isinstance(part, str) and part.startswith(("literal", "constrained", "function", "int", "tuple")))
    ]
    name = ".".join(str(part) for part in path) or "(the whole)"
    at = _at(where, node, tuple(path))
    field = fields.get(str(path[0])) if path else None
    if fault["type"] == "extra_forbidden":
        known: Iterable[str] = fields
        for model, head in ((AttackSpec, "attacks"), (AxisValue, "axes"), (Budget, "budget"), (Published, "published")):
            if len(path) > 1 and path[0] == head:
                known = model.model_fields
        known = list(known)
        last = str(path[-1]) if path else ""
        return BenchError(
            f"{at}: unknown field '{name}'.{did_you_mean(last, known)}", expected="one of " + ", ".join(known), got=repr(last), hint=_HINT
        )
    if fault["type"] == "missing":
        return BenchError(f"{at}: '{name}' is missing", expected=_expected(field) if field else "a value", hint=_HINT)
    if path and path[-1] == "attacks" and fault["type"] == "too_short":
        return BenchError(
            f"{at}: no attacks", expected="at least one name under `attacks:`", got="an empty list", hint="python -m bench ls"
        )
    message = _message(fault)
    came = fault.get("input")
    return BenchError(
        f"{at}: {name}: {message}",
        expected=_expected(field) if field is not None else "",
        got=_shown(came) if came is not raw else "",
        hint="python -m bench info setting" if fields is Setting.model_fields else _HINT,
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _expected(field: Any) -> str:
    """A field's type and bounds in words, from its pydantic description."""
    return ", ".join(part for part in (field.description, _bounds(field.annotation, field.metadata)) if part)


def _bounds(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """What a type and its constraints admit: ``≥ 1, ≤ 16``, ``one of a, b``, ``1 to 16 values, each ≥ 1``."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bounds(inner[0], [bound for item in inner[1:] for bound in getattr(item, "metadata", [item])])
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner)) if len(inner) > 1 else str(inner[0])
    if origin in (Union, types.UnionType):
        own = [text for text in map(_bounds, inner) if text]
    elif origin is tuple:
        own = [f"each {text}" for text in [_bounds(inner[0])] if text]
    else:
        own = []

    def of(key: str) -> Any:
        return next((value for bound in metadata if (value := getattr(bound, key, None)) is not None), None)

    least, most = of("min_length"), of("max_length")
    unit = "characters" if annotation is str else "values"
    length = f"{'a list of ' if origin is tuple else ''}{least or 0} to {most} {unit}" if most is not None else "not empty" if least else ""
    signs = [f"{sign} {of(key)}" for key, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")) if of(key) is not None]
    return ", ".join(part for part in (length, *signs, " or ".join(own)) if part)


def _at(source: str, node: yaml.Node | None, path: Sequence[Hashable]) -> str:
    """``file, line N`` of the deepest node on the path that the file has."""
    line = None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            step = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if step is None:
                break
            line, node = step[0].start_mark.line + 1, step[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return source + (f", line {line}" if line is not None else "")
