"""From a grid to cells: each with a key that says what it is, and a state that says what is left to do.

A *cell* is one setting (seed included) under one attack. Its key is the hash of the target's key, the attack's name, parameters, sweep and
source version, and the scoring protocol; the grid is not in it, so that two grids share the cells that they have in common.

Planning touches no weights and opens no file a cell: data digests are asked for once a data set, attack classes are imported once, whether
an attack applies is asked once an architecture.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from bench import registry, seeds
from bench.api import Architecture, Attack, Setting
from bench.data.split import check_size
from bench.errors import BenchError, did_you_mean
from bench.grids.load import AttackSpec, Grid, Loaded, Range, Sweep, expand, of_attack
from bench.targets.cache import target_id
from bench.targets.models import architecture

if TYPE_CHECKING:
    from bench.api import DataSource

PROTOCOL = "v1"
State = Literal["cached", "to run", "failed before", "unsupported", "broken"]


@dataclass(frozen=True)
class PlannedAttack:
    """One attack of a grid, ready to run, or the reason why it cannot."""

    spec: AttackSpec
    cls: type[Attack] | None  # None: its file could not be imported
    version: str
    role: str
    track: str
    needs: frozenset[str]
    instances: tuple[Attack, ...]  # one a run of the sweep
    error: str = ""

    @property
    def access(self) -> str:
        """The access tier as tables print it."""
        order = ["final_weights", "mean_image", "initial_weights", "public_images", "known_data", "shadow_data"]
        return "+".join(sorted(self.needs, key=lambda tier: (order.index(tier) if tier in order else 99, tier)))

    @property
    def params_json(self) -> str:
        """The parameters that differ from the defaults, as canonical JSON."""
        return canonical(self.spec.params)

    @property
    def defaults_json(self) -> str | None:
        """The parameters that stayed at their defaults, as canonical JSON; None for an attack that could not be made."""
        if not self.instances or not dataclasses.is_dataclass(self.instances[0]):
            return None
        drawn = set(self.spec.sweep.ranges) if self.spec.sweep else set()
        names = [f.name for f in dataclasses.fields(self.instances[0]) if f.init and f.name not in {*self.spec.params, *drawn}]
        values = {name: getattr(self.instances[0], name) for name in names}
        try:
            return canonical(values)
        except (TypeError, ValueError):  # a default that is no JSON; it is for reading only
            return canonical({name: str(value) for name, value in values.items()})

    @property
    def sweep_json(self) -> str | None:
        """The sweep as canonical JSON, or None."""
        return None if self.spec.sweep is None else canonical(self.spec.sweep.model_dump(mode="json"))

    @property
    def identity(self) -> tuple[str, str, str | None, str]:
        """What makes two lines of a grid the same: name, parameters, sweep and own setting."""
        return self.spec.name, self.params_json, self.sweep_json, canonical(self.spec.setting)


@dataclass(frozen=True)
class Cell:
    """One setting under one attack."""

    id: str
    target_id: str
    setting: Setting
    axis: Mapping[str, str]
    axis_index: int  # position of the setting, seed aside, in the grid
    attack: PlannedAttack
    state: State
    reason: str = ""
    architecture: Architecture | None = None  # None: the data set is not here
    data_digest: str = ""


@dataclass(frozen=True)
class Plan:
    """The cells of a grid, in grid order: settings (seeds fastest), attacks within a setting."""

    loaded: Loaded
    cells: tuple[Cell, ...]

    @property
    def grid(self) -> str:
        """The name of the grid."""
        return self.loaded.grid.name

    def counts(self) -> dict[str, int]:
        """How many cells are in each state."""
        result = dict.fromkeys(("cached", "to run", "failed before", "unsupported", "broken"), 0)
        for cell in self.cells:
            result[cell.state] += 1
        return result


def plan(
    loaded: Loaded,
    known: Mapping[str, tuple[str, str]],
    *,
    no_cache: bool = False,
    retry: bool = False,
    limit: int | None = None,
) -> Plan:
    """The plan of a grid.

    Args:
        known: cell id → (status, reason) of the rows that this machine has.
        no_cache: forget them: every cell that can run is to run.
        retry: cells that failed before are to run again.
        limit: the first so many cells only.

    Raises:
        BenchError: an unknown data set, defence or parameter; or a data set that is missing in every cell.
    """
    attacks = [prepare(spec) for spec in loaded.grid.attacks]
    _check_distinct(attacks)
    _check_published(loaded)
    points = expand(loaded.grid, loaded.source)
    if limit is not None:
        points = points[: -(-limit // len(attacks))]
    sources: dict[str, _Source] = {}
    supported: dict[tuple[int, Architecture], str] = {}
    cells: list[Cell] = []
    for number, point in enumerate(points):
        settings = [_with_defense(of_attack(point.setting, attack.spec, loaded.source)) for attack in attacks]
        own = [sources.get(s.dataset) or sources.setdefault(s.dataset, _Source.of(s.dataset)) for s in settings]
        ids: dict[tuple[int, str], str] = {}  # attacks share settings, and hashing one takes longer than looking it up
        for position, attack in enumerate(attacks):
            setting, source = settings[position], own[position]
            shape = source.architecture(setting)
            key = (id(setting), attack.track)
            target = ids.get(key) or ids.setdefault(key, target_id(setting, source.digest, attack.track))
            cell = cell_id(target, attack)
            state, reason = _state(cell, attack, shape, source, known, supported, position, no_cache, retry)
            if state == "to run" and (lacking := source.lacking(setting)):
                state, reason = "broken", lacking
            cells.append(
                Cell(cell, target, setting, point.axis, number // len(loaded.grid.seeds), attack, state, reason, shape, source.digest)
            )
    if cells and sources and all(s.missing for s in sources.values()):
        name, source = next(iter(sources.items()))
        what, _, todo = source.missing.partition("; ")
        raise BenchError(f"data set '{name}' is not here", expected="the data that the grid names", got=what, hint=todo)
    return Plan(loaded, tuple(cells[:limit]))


def prepare(spec: AttackSpec) -> PlannedAttack:
    """Imports an attack, checks its parameters, draws its sweep. A file that raises at import gives an attack with an ``error``.

    Raises:
        BenchError: an unknown attack, an unknown hyperparameter, or a value that the attack refuses.
    """
    entry = registry.entries("attack").get(spec.name)
    try:
        cls = cast("type[Attack]", registry.get("attack", spec.name))
    except BenchError as error:
        if entry is None:
            raise
        facts = entry.facts or {}
        needs = frozenset(facts.get("needs") or {"final_weights"})
        role, track = str(facts.get("role", "attack")), str(facts.get("track", "reconstruction"))
        reason = f"{error.what}: {error.got}" if error.got else error.what
        return PlannedAttack(spec, None, _file_version(entry.origin), role, track, needs, (), reason)
    spec = _with_ranges(spec, cls)
    fields = hyperparameters(cls)
    swept = spec.sweep.ranges if spec.sweep else {}
    for name in [*spec.params, *swept]:
        if name not in fields:
            raise BenchError(
                f"attack '{spec.name}' has no hyperparameter '{name}'.{did_you_mean(name, fields)}",
                expected="one of " + ", ".join(sorted(fields)) if fields else "no hyperparameters",
                got=repr(name),
                hint=f"python -m bench info {spec.name}",
            )
    spec = spec.model_copy(update={"params": _of_kinds(cls, spec.params, f"attack '{spec.name}'", spec.name)})
    params = {name: _frozen(value) for name, value in spec.params.items()}
    try:
        spec = spec.model_copy(update={"params": {name: spec.params[name] for name in params if not _is_default(cls, name, params[name])}})
        instances = tuple(cls(**params, **draw) for draw in draws(spec, cls))
    except BenchError:
        raise
    except Exception as error:
        raise BenchError(
            f"attack '{spec.name}' refuses its hyperparameters",
            expected="values that its class accepts",
            got=f"{type(error).__name__}: {error}",
            hint=f"python -m bench info {spec.name}",
        ) from error
    return PlannedAttack(spec, cls, registry.source_version(cls), cls.role, cls.track, frozenset(cls.needs), instances)


def hyperparameters(cls: type | None) -> set[str]:
    """The names of those that an attack has."""
    return {f.name for f in dataclasses.fields(cast(Any, cls)) if f.init} if dataclasses.is_dataclass(cls) else set()


def _of_kinds(cls: type, params: Mapping[str, Any], who: str, name: str) -> dict[str, Any]:
    """Hyperparameters of plain types as their class declares them: 1e3, a float in YAML, is a whole number where one is wanted.

    Raises:
        BenchError: a value of another kind.
    """
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    declared = {f.name: f.type if isinstance(f.type, str) else getattr(f.type, "__name__", "") for f in fields}
    result = {}
    for key, given in params.items():
        kind = declared[key]
        value = given
        if kind == "int":
            value = _whole(given)
        elif kind == "tuple[int, ...]" and isinstance(given, list | tuple):
            value = [_whole(item) for item in given]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = {
            "int": (_is_int(value), "a whole number"),
            "float": (number and math.isfinite(value), "a number"),
            "bool": (value in (True, False), "true or false"),
            "str": (isinstance(value, str), "a text"),
            "tuple[int, ...]": (isinstance(value, list) and all(map(_is_int, value)), "a list of whole numbers"),
        }
        fine, wanted = fits.get(kind, (True, ""))
        if not fine:
            raise BenchError(f"{who}: {key} is of the wrong kind", expected=wanted, got=repr(given), hint=f"python -m bench info {name}")
        result[key] = value
    return result


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(value: Any) -> Any:
    """A float that is a whole number as one; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _with_ranges(spec: AttackSpec, cls: type[Attack]) -> AttackSpec:
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


def _declared(name: str) -> set[str]:
    """The hyperparameters that an attack declares ranges of; none where its file cannot be imported, which the plan reports."""
    try:
        return set(cast("type[Attack]", registry.get("attack", name)).ranges)
    except BenchError:
        return set()


def with_runs(grid: Grid, runs: int) -> Grid:
    """The grid with so many runs a cell, hyperparameters drawn, of every attack that has a sweep or declares ranges for one.

    Where a grid lists an attack with a sweep, its other lines on the same targets stay as they are: whoever wrote it set values chosen by
    hand beside values drawn. Sweeps that differed in their number of runs alone become one.

    Raises:
        BenchError: fewer than one run, more than ten thousand, or no such attack.
    """
    if not 1 <= runs <= 10_000:
        raise BenchError(f"--runs {runs}: not understood", expected="runs a cell, 1 to 10000", got=str(runs))
    listed = {(spec.name, canonical(spec.setting)) for spec in grid.attacks if spec.sweep is not None}
    lines: list[AttackSpec] = []
    seen = set()
    for spec in grid.attacks:
        ranges = None
        if spec.sweep is not None:
            ranges = spec.sweep.ranges
        elif (spec.name, canonical(spec.setting)) not in listed and _declared(spec.name) - set(spec.params):
            ranges = {}
        if ranges is not None:
            spec = spec.model_copy(update={"sweep": Sweep(runs=runs, ranges=ranges)})
            one = spec.model_copy(update={"sweep": Sweep(runs=1, ranges=ranges)})  # as good for telling lines apart, and sooner drawn
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


def _is_default(cls: type[Attack], name: str, value: Any) -> bool:
    """Whether a hyperparameter has the value that it has when left out: written out or not, it is the same cell."""
    attribute = next(f for f in dataclasses.fields(cast(Any, cls)) if f.name == name)
    default = attribute.default_factory() if attribute.default_factory is not dataclasses.MISSING else attribute.default
    return isinstance(value, bool) == isinstance(default, bool) and bool(value == default)


def _check_published(loaded: Loaded) -> None:
    """A paper's figure stands beside a score column that holds a number."""
    if not loaded.grid.published:
        return
    import pyarrow as pa

    from bench.schema import columns

    known = [c.name for c in columns("scores") if pa.types.is_floating(c.type) or pa.types.is_integer(c.type)]
    for position, figure in enumerate(loaded.grid.published):
        if figure.column not in known:
            raise BenchError(
                f"grid {loaded.source}: published[{position}]: no score column '{figure.column}' holds numbers."
                f"{did_you_mean(figure.column, known)}",
                expected="a column of numbers in scores.parquet",
                got=repr(figure.column),
                hint="python -m bench info schema",
            )


def _check_distinct(attacks: Sequence[PlannedAttack]) -> None:
    seen: set[tuple[str, str, str | None, str]] = set()
    for attack in attacks:
        if attack.identity in seen:
            raise BenchError(
                f"attack '{attack.spec.name}' stands twice with the same parameters",
                expected="each once",
                got=f"params {attack.params_json} twice; a parameter at its default counts as left out",
                hint="remove one",
            )
        seen.add(attack.identity)


def draws(spec: AttackSpec, cls: type) -> list[dict[str, Any]]:
    """The hyperparameters drawn for each run of a sweep; one empty draw without one.

    Run k's draw depends on the attack's name, its parameters, its ranges and k, not on the setting: all cells of a grid try the same
    values, which pairs them by seed and lets runs of one shape be stacked.
    """
    if spec.sweep is None:
        return [{}]
    import math

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


def cell_id(target: str, attack: PlannedAttack) -> str:
    """16 hex digits: SHA-256 of the target's key, the attack's name, parameters, sweep and version, and the protocol."""
    facts = [target, attack.spec.name, attack.params_json, attack.sweep_json, attack.version, PROTOCOL]
    return hashlib.sha256(canonical(facts).encode()).hexdigest()[:16]


def runs_id(cell: Cell) -> str:
    """What names the runs of a cell, however many there are: a sweep of a hundred runs begins with the runs of a sweep of eight."""
    if cell.attack.spec.sweep is None:
        return cell.id
    ranges = cell.attack.spec.sweep.model_dump(mode="json", include={"ranges"})
    facts = [cell.target_id, cell.attack.spec.name, cell.attack.params_json, ranges, cell.attack.version, "runs"]
    return hashlib.sha256(canonical(facts).encode()).hexdigest()[:16]


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values have one text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass
class _Source:
    """What the plan needs of a data set, asked for once."""

    name: str
    source: DataSource
    missing: str
    digest: str
    shape: tuple[int, int, int] | None
    sizes: dict[tuple[Any, int], str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str) -> _Source:
        source = registry.resolve_data(name)
        missing = source.missing()
        if missing:
            return cls(name, source, missing, f"missing:{name}", None)
        shape = source.image_shape()
        return cls(name, source, "", source.digest(), (int(shape[0]), int(shape[1]), int(shape[2])))

    def architecture(self, setting: Setting) -> Architecture | None:
        if self.shape is None:
            return None
        return architecture(setting, self.shape, 2 if setting.classes == "binary" else setting.classes)

    def lacking(self, setting: Setting) -> str:
        """What the data lack for a setting, images or classes; or an empty string. Loads them: asked for cells that are to run only."""
        size = (setting.classes, setting.n_per_class)
        if size not in self.sizes:
            self.sizes[size] = ""
            try:
                check_size(self.source.load(), setting)
            except BenchError as error:
                self.sizes[size] = error.line
            except Exception:  # of a plug-in's making; training meets it again, and makes rows of it
                pass
        return self.sizes[size]


def _state(
    cell: str,
    attack: PlannedAttack,
    shape: Architecture | None,
    source: _Source,
    known: Mapping[str, tuple[str, str]],
    supported: dict[tuple[int, Architecture], str],
    position: int,
    no_cache: bool,
    retry: bool,
) -> tuple[State, str]:
    if attack.error:
        return "broken", attack.error
    if shape is None:
        return "unsupported", f"data set '{source.name}' is not here: {source.missing}"
    key = (position, shape)
    if key not in supported:
        supported[key] = unsupported(attack, shape)
    reason = supported[key]
    if reason.startswith("!"):
        return "broken", reason[1:]
    if reason:
        return "unsupported", reason
    status, before = known.get(cell, ("", "")) if not no_cache else ("", "")
    if status == "ok":
        return "cached", ""
    if status in ("failed", "timeout") and not retry:
        return "failed before", before
    return "to run", ""


def unsupported(attack: PlannedAttack, shape: Architecture) -> str:
    """Why an attack does not apply to an architecture, or an empty string; a reason that starts with ``!`` is a fault of the plug-in."""
    from bench import tracks

    if attack.track not in tracks.names():
        return f"track '{attack.track}' is not run here; known are {', '.join(tracks.names())}"
    try:
        beyond = tracks.ungrantable(attack.track, attack.needs)
        if beyond:
            return beyond
        reason = attack.instances[0].unsupported(shape)
    except BenchError as error:
        return f"!{error.what}"
    except Exception as error:
        return f"!unsupported() raised {type(error).__name__}: {error}"
    return reason if isinstance(reason, str) else f"!unsupported() returned {type(reason).__name__}, not a text"


_checked_defenses: dict[tuple[str, str], dict[str, Any]] = {}


def _with_defense(setting: Setting) -> Setting:
    """The setting, its defence's hyperparameters as declared. An unknown defence or parameter is wrong usage, said before training."""
    given = canonical(setting.defense_params)
    key = (setting.defense, given)
    if key not in _checked_defenses:
        _checked_defenses[key] = _defense_params(setting)
    params = _checked_defenses[key]
    return setting if canonical(params) == given else setting.model_copy(update={"defense_params": params})


def _defense_params(setting: Setting) -> dict[str, Any]:
    cls = registry.get("defense", setting.defense)
    fields = [f.name for f in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
    for name in setting.defense_params:
        if name not in fields:
            raise BenchError(
                f"defence '{setting.defense}' has no hyperparameter '{name}'.{did_you_mean(name, fields)}",
                expected="one of " + ", ".join(fields) if fields else "no hyperparameters",
                got=repr(name),
                hint=f"python -m bench info {setting.defense}",
            )
    params = _of_kinds(cls, setting.defense_params, f"defence '{setting.defense}'", setting.defense)
    try:
        cls(**params)
    except Exception as error:
        raise BenchError(f"defence '{setting.defense}' refuses its hyperparameters", got=f"{type(error).__name__}: {error}") from error
    return params


def _frozen(value: Any) -> Any:
    """Lists become tuples, since hyperparameters live in frozen dataclasses."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _file_version(origin: str) -> str:
    """The version of a plug-in that cannot be imported: its file's hash, so that a repaired file is a new cell."""
    try:
        return "src-" + hashlib.sha256(Path(origin).read_bytes()).hexdigest()[:8]
    except OSError:
        return "src-" + hashlib.sha256(origin.encode()).hexdigest()[:8]


def to_run(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that are left to do, in plan order."""
    return [cell for cell in cells if cell.state == "to run"]
