"""Tracks: what a kind of attack gets, and how its answer becomes rows. One folder a track; an attack names its track.

A track is a registered class (``bench.api.Track``), found like an attack. Its folder holds all of it:

==============  ========================================================================================
``__init__``    the class: name, access tiers, and what else is known without PyTorch
``columns``     what it adds to the tables
``work``        what the engine calls: targets, narrowed releases, checked answers, scores
``example``     a small release for the contract tests
==============  ========================================================================================
"""

from __future__ import annotations

import functools
from typing import get_args

from bench import registry
from bench.api import Tier, Track
from bench.errors import BenchError, did_you_mean

DEFAULT = "reconstruction"  # of older rows, which do not tell


def names() -> tuple[str, ...]:
    """The registered tracks, the default first."""
    return tuple(sorted(registry.entries("track"), key=lambda name: (name != DEFAULT, name)))


def get(name: str) -> Track:
    """The track of that name.

    Raises:
        BenchError: there is none, or its file raises at import.
    """
    return _made(registry.get("track", name))


def of_row(name: str | None) -> Track:
    """The track of a row: the default one where the row, an older one, names none, or one whose plug-in is not here."""
    return get(name if name in registry.entries("track") else DEFAULT)  # type: ignore[arg-type]


@functools.lru_cache(maxsize=32)
def _made(cls: type[Track]) -> Track:
    return cls()


def ungrantable(track: str, needs: frozenset[str]) -> str:
    """An empty string, or the reason why a track cannot grant an access tier; the cell becomes a skipped row.

    Raises:
        BenchError: a tier that does not exist, or no such track.
    """
    known = get_args(Tier)
    for tier in sorted(needs):
        if tier not in known:
            raise BenchError(
                f"unknown access tier '{tier}'.{did_you_mean(tier, known)}",
                expected="one of " + ", ".join(known),
                got=repr(tier),
                hint="correct `needs` of the attack",
            )
    missing = sorted(needs - get(track).tiers)
    return f"needs {', '.join(missing)}, which the {track} track does not grant" if missing else ""


def admit(track: str, needs: frozenset[str]) -> None:
    """Lets tiers pass that the track grants.

    Raises:
        BenchError: a tier that is unknown, or that the track cannot grant.
    """
    reason = ungrantable(track, needs)
    if reason:
        raise BenchError(f"attack {reason}", expected="tiers among " + ", ".join(sorted(get(track).tiers)), got=", ".join(sorted(needs)))
