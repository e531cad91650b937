"""An attack of a grid, made ready to run: imported, its hyperparameters checked, its sweep drawn."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench import registry
from bench.api import Attack
from bench.engine.canonical import canonical
from bench.engine.kinds import of_kinds
from bench.engine.race import Rung, check_race, rungs
from bench.engine.sweeps import draws, with_ranges
from bench.errors import BenchError, did_you_mean
from bench.grids.model import AttackSpec


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
        """The sweep as canonical JSON, or None. One that is not raced does not mention it: it keeps the key that it had before races."""
        return None if self.spec.sweep is None else canonical(self.spec.sweep.model_dump(mode="json", exclude_none=True))

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """How many runs go on how long; one rung where the sweep is not raced, or there is none."""
        halving = None if self.spec.sweep is None else self.spec.sweep.halving
        return rungs(len(self.instances), halving, self.full or 0)

    @property
    def raced(self) -> bool:
        """Whether it is a sweep of which not all runs go to the end."""
        return self.spec.sweep is not None and self.spec.sweep.halving is not None

    @property
    def full(self) -> int | None:
        """The budget of a run that goes to the end; None for an attack that names none, or none that is a whole number."""
        value = getattr(self.instances[0], self.cls.budget, None) if self.cls is not None and self.cls.budget else None
        return value if isinstance(value, int) else None

    def on(self, rung: Rung, run: int) -> Attack:
        """A run as it goes on a rung."""
        one = self.instances[run]
        return one if rung.budget is None or self.cls is None else dataclasses.replace(cast(Any, one), **{self.cls.budget: rung.budget})

    @property
    def identity(self) -> tuple[str, str, str | None, str]:
        """What makes two lines of a grid the same: name, parameters, sweep and own setting."""
        return self.spec.name, self.params_json, self.sweep_json, canonical(self.spec.setting)


def prepare(spec: AttackSpec) -> PlannedAttack:
    """Imports an attack, checks its parameters, draws its sweep, lays out its race. A file that raises when imported gives an ``error``.

    Raises:
        BenchError: an unknown attack, an unknown hyperparameter, a value that the attack refuses, or a race that it cannot run.
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
    spec = with_ranges(spec, cls)
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
    spec = spec.model_copy(update={"params": of_kinds(cls, spec.params, f"attack '{spec.name}'", spec.name)})
    params = {name: _frozen(value) for name, value in spec.params.items()}
    try:
        spec = spec.model_copy(update={"params": {name: spec.params[name] for name in params if not _is_default(cls, name, params[name])}})
        instances = tuple(cls(**params, **draw) for draw in draws(spec, cls))
        ready = PlannedAttack(spec, cls, registry.source_version(cls), cls.role, cls.track, frozenset(cls.needs), instances)
        check_race(spec, cls, ready.full)
        for rung in ready.rungs:
            ready.on(rung, 0)
    except BenchError:
        raise
    except Exception as error:
        raise BenchError(
            f"attack '{spec.name}' refuses its hyperparameters",
            expected="values that its class accepts",
            got=f"{type(error).__name__}: {error}",
            hint=f"python -m bench info {spec.name}",
        ) from error
    return ready


def hyperparameters(cls: type | None) -> set[str]:
    """The names of those that an attack has."""
    return {f.name for f in dataclasses.fields(cast(Any, cls)) if f.init} if dataclasses.is_dataclass(cls) else set()


def _is_default(cls: type[Attack], name: str, value: Any) -> bool:
    """Whether a hyperparameter has the value that it has when left out: written out or not, it is the same cell."""
    attribute = next(f for f in dataclasses.fields(cast(Any, cls)) if f.name == name)
    default = attribute.default_factory() if attribute.default_factory is not dataclasses.MISSING else attribute.default
    return isinstance(value, bool) == isinstance(default, bool) and bool(value == default)


def _frozen(value: Any) -> Any:
    """Lists become tuples, since hyperparameters live in frozen dataclasses."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _file_version(origin: str) -> str:
    """The version of a plug-in that cannot be imported: its file's hash, so that a repaired file is a new cell."""
    try:
        return "src-" + hashlib.sha256(Path(origin).read_bytes()).hexdigest()[:8]
    except OSError:
        return "src-" + hashlib.sha256(origin.encode()).hexdigest()[:8]
