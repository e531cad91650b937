"""Which rows a claim is about, and what they hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench import tracks
from bench.api import Row
from bench.claims.declarations import COMPARISON
from bench.report.kit.rows import records
from bench.schema import protocol_number


def value_of(row: Mapping[str, Any], key: str) -> Any:
    """What a row holds under a column, a ``param:NAME`` or an ``axis:NAME``; None where there is nothing."""
    kind, _, name = key.partition(":")
    if kind == "param" and name:
        return (_json(row["attack_defaults"]) | _json(row["attack_params"])).get(name)
    if kind == "axis" and name:
        return _json(row["axis"]).get(name)
    return row[key]


def chosen(row: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
    """Whether a row meets every condition of a ``where``, ``a`` or ``b``."""
    return all(_meets(value_of(row, key), wanted) for key, wanted in conditions.items())


def _meets(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, tuple):
        return any(_meets(value, one) for one in wanted)
    if wanted is None or value is None:
        return wanted is None and value is None
    if isinstance(wanted, str) and (comparison := COMPARISON.fullmatch(wanted)):
        found, limit = number(value), float(comparison[2])
        return found is not None and (found > limit if comparison[1] == ">" else found < limit)
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return number(value) == wanted
    return bool(value == wanted)


def number(value: Any) -> float | None:
    """A number, or a text that is one, such as the classes or the widths of a network (its first one counts)."""
    try:
        number = float(value.partition("-")[0] if isinstance(value, str) else value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _json(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def sorted_records(frame: pd.DataFrame) -> list[Row]:
    """Rows as dictionaries, with None where there is nothing, in an order of their own."""
    return sorted(records(frame), key=lambda row: (str(row["cell_id"]), row["seed"] or 0))


def by_protocol(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows by score protocol, the latest of each track first, then the one before it."""
    protocols: dict[str, set[int]] = {}
    for row in rows:
        protocols.setdefault(row["track"] or tracks.DEFAULT, set()).add(protocol_number(row["protocol"]))
    age = {track: {number: i for i, number in enumerate(sorted(found, reverse=True))} for track, found in protocols.items()}
    parts: dict[int, list[Row]] = {}
    for row in rows:
        parts.setdefault(age[row["track"] or tracks.DEFAULT][protocol_number(row["protocol"])], []).append(row)
    return [parts[i] for i in sorted(parts)]
