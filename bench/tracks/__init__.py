"""Tracks: what a kind of attack gets, and how its answer becomes rows. One folder a track; an attack names its track.

A track is a registered class (``bench.api.Track``), found like an attack. Its folder holds all of it:

==============  =========================================================================================================
``__init__``    the class: name, access tiers, and what else is known without PyTorch
``release``     what an attack may see, what only the scorer sees; without PyTorch, and attacks import it from the folder
``narrow``      a target's release with the granted tiers only
``targets``     the networks under attack
``answer``      how an answer is checked, kept and pooled
``score``       how it becomes rows
``example``     a small release for the contract tests
``columns``     what the track adds to the tables
``work``        the list of what the engine calls
==============  =========================================================================================================
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
