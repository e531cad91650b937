"""Fields of a release that are there only where an access tier was granted. Elsewhere they are not None, but cannot be read."""

from __future__ import annotations

from typing import Any

from bench.errors import BenchError


class NotGrantedError(BenchError, AttributeError):
    """A field was read that the attack's tiers do not grant. An AttributeError too, so that ``hasattr(release, "mean_image")`` asks."""


class Granted:
    """The descriptor behind `granted`. Read from the class it is itself, so that a dataclass takes it for the field's default."""

    def __init__(self, *ways: frozenset[str]) -> None:
        self.ways = ways  # sets of tiers; the field is there where `needs` has all of one of them

    def by(self, needs: frozenset[str]) -> bool:
        """Whether these tiers grant the field."""
        return any(way <= needs for way in self.ways)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, release: object, value: object) -> None:
        if value is not None and value is not self:
            vars(release)[self.name] = value

    def __get__(self, release: object | None, owner: type) -> Any:
        if release is None:
            return self
        if self.name in vars(release):
            return vars(release)[self.name]
        words = " or ".join(" and ".join(f'"{tier}"' for tier in sorted(way)) for way in self.ways)
        raise NotGrantedError(
            f"release.{self.name} was not granted",
            expected=f"an attack whose `needs` hold {words}",
            got="a release of " + ", ".join(name for name in vars(release) if not name.startswith("_")),
            hint=f'add {words} to its `needs`; hasattr(release, "{self.name}") asks',
        )


def granted(*ways: str | frozenset[str]) -> Any:
    """The default of a dataclass field that is there where one of these tiers is granted; of a set of tiers, all of them."""
    return Granted(*(frozenset({way}) if isinstance(way, str) else way for way in ways))
