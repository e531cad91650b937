"""A model of plain values that somebody wrote down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

LEAVES = (str, int, float, type(None))  # true and false are int


class Plain(BaseModel):
    """Frozen; refuses unknown fields, numbers that are not finite, true and false for numbers, texts and items of lists, and texts with
    half a character."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth(cls, value: Any) -> Any:
        # pydantic takes true for 1
        if any(isinstance(item, bool) for item in (value if isinstance(value, list | tuple) else [value])):
            raise ValueError("a number or a name is wanted, not true or false, as which YAML reads yes, no, on and off too")
        for item in _leaves(value):
            if isinstance(item, str):
                try:
                    item.encode()
                except UnicodeEncodeError as error:  # as "\\ud800" in YAML: no row and no page could hold it
                    raise ValueError(f"a text with half a character, {item[:60]!a}") from error
        return value


def plain_values(value: dict[str, Any]) -> dict[str, Any]:
    """Parameters as they enter a cell's key, and its row: the same after a trip through JSON.

    Raises:
        ValueError: they hold something else than finite numbers, texts, lists and mappings.
    """
    for item in _leaves(value):
        if not isinstance(item, LEAVES) or (isinstance(item, float) and not math.isfinite(item)):
            raise ValueError(f"parameters must be plain: finite numbers, texts, lists and mappings, not {item!r}")
    return value


def _leaves(value: Any) -> list[Any]:
    """All that is no list and no mapping in a value, keys of mappings included."""
    found, todo, seen = [], [value], set[int]()
    while todo:
        item = todo.pop()
        if isinstance(item, (Mapping, list, tuple)):
            if id(item) not in seen:  # one may hold itself
                seen.add(id(item))
                todo += [*item, *item.values()] if isinstance(item, Mapping) else item
        else:
            found.append(item)
    return found
