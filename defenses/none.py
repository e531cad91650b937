"""No defence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.api import Defense
from bench.registry import register


@register
@dataclass(frozen=True)
class NoDefense(Defense):
    """The network is trained and released as it is."""

    name: ClassVar[str] = "none"
    version: ClassVar[int | None] = 1
