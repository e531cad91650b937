"""From a grid to cells: each with a key that says what it is, and a state that says what is left to do.

A *cell* is one setting (seed included) under one attack. Its key is the hash of the target's key, the attack's name, parameters, sweep and
source version, and the score protocol of its track; the grid is not in it, so that two grids share the cells that they have in common.

Planning touches no weights and opens no file a cell: data digests are asked for once a data set, attack classes are imported once, whether
an attack applies is asked once an architecture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bench import registry
from bench.api import Architecture, Setting
from bench.data.split import check_size
from bench.engine.canonical import canonical
from bench.engine.checks import check_distinct, check_published, with_defense
from bench.engine.prepare import PlannedAttack, prepare
from bench.errors import BenchError
from bench.grids.points import expand, of_attack
from bench.grids.read import Loaded
from bench.targets.cache import target_id
from bench.targets.models import architecture

if TYPE_CHECKING:
    from bench.api import DataSource

FIRST = "v1"  # score protocol
State = Literal["cached", "to run", "failed before", "unsupported", "broken"]


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
    protocols = {name: protocol_of(name) for name in {attack.track for attack in attacks}}
    check_distinct(attacks)
    check_published(loaded)
    points = expand(loaded.grid, loaded.source)
    if limit is not None:
        points = points[: -(-limit // len(attacks))]
    sources: dict[str, _Source] = {}
    supported: dict[tuple[int, Architecture], str] = {}
    cells: list[Cell] = []
    for number, point in enumerate(points):
        settings = [with_defense(of_attack(point.setting, attack.spec, loaded.source)) for attack in attacks]
        own = [sources.get(s.dataset) or sources.setdefault(s.dataset, _Source.of(s.dataset)) for s in settings]
        ids: dict[tuple[int, str], str] = {}  # attacks share settings, and hashing one takes longer than looking it up
        for position, attack in enumerate(attacks):
            setting, source = settings[position], own[position]
            shape = source.architecture(setting)
            key = (id(setting), attack.track)
            target = ids.get(key) or ids.setdefault(key, target_id(setting, source.digest, attack.track))
            cell = cell_id(target, attack, protocols[attack.track])
            state, reason = _state(cell, attack, shape, source, known, supported, position, no_cache, retry)
            if state not in ("broken", "unsupported") and (kept := withheld(attack, setting)):
                state, reason = "unsupported", kept
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


def protocol_of(track: str) -> str:
    """The score protocol in force in a track."""
    from bench import tracks

    return tracks.get(track).protocol if track in tracks.names() else FIRST


def cell_id(target: str, attack: PlannedAttack, protocol: str) -> str:
    """16 hex digits: SHA-256 of the target's key, the attack's name, parameters, sweep and version, and the protocol."""
    return id_of(target, attack.spec.name, attack.params_json, attack.sweep_json, attack.version, protocol)


def id_of(target: str, attack: str, params_json: str, sweep_json: str | None, version: str, protocol: str) -> str:
    """`cell_id` from the columns of a row."""
    facts = [target, attack, params_json, sweep_json, version, protocol]
    return hashlib.sha256(canonical(facts).encode()).hexdigest()[:16]


def answer_id(cell: Cell) -> str:
    """What names an answer, its random numbers among others, however it is scored: the id that its cell has under the first protocol."""
    one = cell.attack
    return id_of(cell.target_id, one.spec.name, one.params_json, one.sweep_json, one.version, FIRST)


def runs_id(cell: Cell) -> str:
    """What names the runs of a cell, however many there are: a sweep of a hundred runs begins with the runs of a sweep of eight."""
    if cell.attack.spec.sweep is None:
        return answer_id(cell)
    ranges = cell.attack.spec.sweep.model_dump(mode="json", include={"ranges"})
    facts = [cell.target_id, cell.attack.spec.name, cell.attack.params_json, ranges, cell.attack.version, "runs"]
    return hashlib.sha256(canonical(facts).encode()).hexdigest()[:16]


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


def withheld(attack: PlannedAttack, setting: Setting) -> str:
    """An empty string, or which of the attack's access tiers the owner does not grant; the cell becomes a skipped row."""
    kept = sorted(attack.needs & registry.get("defense", setting.defense).withholds)
    return f"needs {', '.join(kept)}, which the owner withholds (defence {setting.defense})" if kept else ""


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
