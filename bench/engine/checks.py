"""What a grid asks for and cannot have, refused before anything trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from bench import registry
from bench.api import Setting
from bench.engine.canonical import canonical
from bench.engine.kinds import of_kinds
from bench.engine.prepare import PlannedAttack
from bench.errors import BenchError, did_you_mean
from bench.grids.read import Loaded

_checked_defenses: dict[tuple[str, str], dict[str, Any]] = {}


def check_published(loaded: Loaded) -> None:
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
                expected="a column of numbers in table scores",
                got=repr(figure.column),
                hint="python -m bench info schema",
            )


def check_distinct(attacks: Sequence[PlannedAttack]) -> None:
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


def with_defense(setting: Setting) -> Setting:
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
    params = of_kinds(cls, setting.defense_params, f"defence '{setting.defense}'", setting.defense)
    try:
        cls(**params)
    except Exception as error:
        raise BenchError(f"defence '{setting.defense}' refuses its hyperparameters", got=f"{type(error).__name__}: {error}") from error
    return params
