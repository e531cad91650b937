"""The contract of a section of a page."""

from __future__ import annotations

import re

from bench import tracks
from bench.api import Section
from bench.check.outcomes import Outcome, Tests, need


def check_section(cls: type[Section]) -> list[Outcome]:
    """The contract of a section of a page, as far as it can be told without rows."""
    tests = Tests()
    tests.run("name is in snake_case", lambda: need(bool(re.fullmatch(r"[a-z][a-z0-9_]*", cls.name)), f"name is {cls.name!r}"))
    tests.run("can be made without arguments", cls)
    tests.run("place is top, part or end", lambda: need(cls.place in ("top", "part", "end"), f"place is {cls.place!r}"))
    strangers = sorted(cls.tracks - set(tracks.names()))
    tests.run("is about tracks that exist", lambda: need(not strangers, f"unknown: {', '.join(strangers)}"))
    proper = isinstance(cls.pictures, tuple) and all(re.fullmatch(r"[a-z][a-z0-9_]*", kind) for kind in cls.pictures)
    tests.run("pictures are kinds in snake_case", lambda: need(proper, f"pictures is {cls.pictures!r}"))
    return tests.outcomes
