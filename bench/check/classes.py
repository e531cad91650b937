"""What the classes of attacks and defences have in common."""

from __future__ import annotations

import dataclasses
import re

from bench.check.outcomes import Tests, need


def check_class(cls: type, tests: Tests) -> None:
    """What attacks and defences have in common."""
    name = getattr(cls, "name", "")
    own = cls.__doc__ if not (cls.__doc__ or "").startswith(f"{cls.__name__}(") else ""  # dataclasses write one of their own
    tests.run("has a docstring", lambda: need(bool(own), "write what it does, in one line at least"))
    tests.run("name is in snake_case", lambda: need(bool(re.fullmatch(r"[a-z][a-z0-9_]*", name)), f"name is {name!r}"))
    frozen = dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    tests.run("is a frozen dataclass", lambda: need(bool(frozen), "decorate it with @dataclass(frozen=True), below @register"))
