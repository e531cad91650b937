"""Reads a grid by name or by path, and checks it before anything runs.

Everything wrong with a file becomes one ``BenchError`` that names the file, the line and the field. No torch is imported here, and no
attack: names are checked against the registry's static listing, parameters when the plan is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bench import registry, regular
from bench.api import Setting
from bench.errors import BenchError, did_you_mean
from bench.grids.faults import check_field, invalid, place
from bench.grids.model import Grid
from bench.grids.points import expand
from bench.grids.select import override
from bench.grids.syntax import Loader, parse
from bench.regular import path_of

FOLDER = Path(__file__).resolve().parent
MAX_BYTES = 1_000_000  # a grid is written by hand; more is a wrong file
SMALL = "small"  # the scale that every grid has: as it stands, for two cores


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
            raw = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
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


def validate(raw: Mapping[str, Any], source: str, node: yaml.Node | None = None) -> Grid:
    """Plain data to a grid: field names, types, ranges, attack names, labels."""
    try:
        grid = Grid.model_validate(raw)
    except ValidationError as error:
        raise invalid(error, source, raw, node, Grid.model_fields) from error
    except RecursionError as error:
        raise BenchError(f"grid {source} is nested too deeply", expected="a small mapping of plain values") from error
    fields = [name for name in Setting.model_fields if name != "seed"]
    for name in grid.base:
        check_field(name, fields, f"{place(source, node, ('base', name))}: base.{name}")
    for axis, values in grid.axes.items():
        where = f"{place(source, node, ('axes', axis))}: axes.{axis}"
        if not values:
            raise BenchError(f"{where} has no values", expected="a list of at least one value", hint="add values or remove the axis")
        for value in values:
            for name in value.set:
                check_field(name, fields, where if name == axis else f"{where} ({value.label}).set.{name}", axis=name == axis)
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
                    f"{place(source, node, ('published', position))}: published[{position}]: unknown axis '{name}'."
                    f"{did_you_mean(name, grid.axes)}",
                    expected="one of " + (", ".join(grid.axes) or "(the grid has no axes)"),
                    got=repr(name),
                    hint="leave axis out for a figure of the whole grid",
                )
    known = registry.entries("attack")
    seen: set[str] = set()
    for position, spec in enumerate(grid.attacks):
        where = f"{place(source, node, ('attacks', position))}: attacks[{position}]"
        if spec.name not in known:
            raise BenchError(
                f"{where}: unknown attack '{spec.name}'.{did_you_mean(spec.name, known)}",
                expected="one of " + (", ".join(known) or "(no attack is installed)"),
                got=repr(spec.name),
                hint="python -m bench ls, or load a file with --plugin PATH",
            )
        tied = {name: axis for axis, values in grid.axes.items() for value in values for name in value.set}
        for name in spec.setting:
            check_field(name, fields, f"{where}: setting.{name}")
            if name in tied:
                raise BenchError(
                    f"{where}: '{name}' is on the axis '{tied[name]}'", expected="fields that no axis sets", hint=f"remove {name}"
                )
        key = spec.model_dump_json()
        if key in seen:
            raise BenchError(f"{where}: '{spec.name}' stands twice with the same parameters", expected="each once", hint="remove one")
        seen.add(key)
    return grid


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


def options_of(page: str) -> str:
    """How ``run`` is asked for the rows of a page, ``--grid width --scale medium`` for ``width_medium``; nothing for that of no built-in
    grid. Any case, with or without a folder and an ending."""
    stem = re.sub(r"[-\s]", "_", re.split(r"[/\\]", page)[-1].partition(".")[0]).lower()
    for grid, path in builtin().items():
        if stem == grid:
            return f"--grid {grid}"
        scale = stem.removeprefix(f"{grid}_")
        if scale != stem and scale in (yaml.load(path.read_text(encoding="utf-8"), Loader=Loader).get("scales") or {}):
            return f"--grid {grid} --scale {scale}"
    return ""


def _find(asked: str) -> Path:
    known = builtin()
    if asked in known:
        return known[asked]
    path = path_of(asked)
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
        return regular.read(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"grid {path} cannot be read", expected="a UTF-8 text file", got=f"{type(error).__name__}: {error}") from error
