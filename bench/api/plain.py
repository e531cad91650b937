"""A model of plain values that somebody wrote down."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator


class Plain(BaseModel):
    """Frozen; refuses unknown fields, numbers that are not finite, and true and false for numbers, texts and items of lists."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth(cls, value: Any) -> Any:
        # pydantic takes true for 1
        if any(isinstance(item, bool) for item in (value if isinstance(value, list | tuple) else [value])):
            raise ValueError("a number or a name is wanted, not true or false, as which YAML reads yes, no, on and off too")
        return value
