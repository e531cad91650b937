"""The claims of an attack: of known grids, columns and hyperparameters, under names of their own."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any, cast

from bench import registry
from bench.api import Attack, Claim
from bench.check.outcomes import need
from bench.claims.declarations import declared, faults
from bench.claims.findings import conditions
from bench.errors import did_you_mean
from bench.grids.read import builtin, load


def check_claims(cls: type[Attack]) -> None:
    claims = cls.__dict__.get("claims", ())
    need(isinstance(claims, tuple) and all(isinstance(claim, Claim) for claim in claims), "claims is no tuple of bench.api.Claim")
    everyone, _ = declared()
    taken = {one.claim.name: one.owner for one in everyone if one.owner != cls.name}
    names = [claim.name for claim in claims]
    beside = Path(inspect.getfile(cls)).parent  # a plug-in's own grid lies there
    for claim in claims:
        wrong = faults(claim)
        need(not wrong, f"claim {claim.name!r}: {'; '.join(wrong)}")
        need(names.count(claim.name) == 1, f"two claims are named {claim.name!r}")
        need(claim.name not in taken, f"{taken.get(claim.name)} has a claim named {claim.name!r}")
        for grid in claim.grids:
            need(
                _is_grid(grid) or (beside / f"{grid}.yaml").is_file(),
                f"claim {claim.name!r}: no grid is named {grid!r}.{did_you_mean(grid, builtin())}",
            )
        where, *sides = conditions(cls.name, claim)
        for part in (where, *sides, *claim.across):
            attacks = part.get("attack", where.get("attack", cls.name))
            for attack in attacks if isinstance(attacks, tuple) else (attacks,):
                owner = cls if attack == cls.name else registry.get("attack", attack)
                fields = {f.name for f in dataclasses.fields(cast(Any, owner))} if dataclasses.is_dataclass(owner) else set()
                for name in (key.removeprefix("param:") for key in part if key.startswith("param:")):
                    need(name in fields, f"claim {claim.name!r}: {attack} has no hyperparameter {name!r}.{did_you_mean(name, fields)}")


def _is_grid(name: str) -> bool:
    """Whether rows of a grid that ships can have this name: its own, or with one of its larger scales behind."""
    shipped = builtin()
    return name in shipped or any(
        name == f"{grid}_{scale}" for grid in shipped if name.startswith(f"{grid}_") for scale in load(grid).grid.scales
    )
