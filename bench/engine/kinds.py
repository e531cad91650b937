"""Hyperparameters in the kinds that their class declares."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from bench.errors import BenchError


def of_kinds(cls: type, params: Mapping[str, Any], who: str, name: str) -> dict[str, Any]:
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
