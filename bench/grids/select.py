"""Parts of a grid: other values of its settings (``--set``), fewer or other attacks and seeds."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence

from bench import registry
from bench.api import Setting
from bench.errors import BenchError, did_you_mean
from bench.grids.faults import check_field, check_value
from bench.grids.model import AttackSpec, AxisValue, Grid, label_of
from bench.grids.syntax import value_of


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
        check_field(name, fields, f"--set {text}")
        check_value(name, value, f"--set {text}")
        if name in axes:
            axes[name] = [AxisValue(label=label_of(value), set={name: value})]
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
