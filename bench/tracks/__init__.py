"""Tracks: what a kind of attack gets, and how its answer becomes rows. One file a track; an attack names its track.

A track is a module with these functions, which the engine calls and nothing else:

=================  ===============================================================================================================
``obtain``         settings → targets, from the cache where it can
``ungrantable``    why an access tier cannot be granted, or an empty text
``narrow``         a target's release with the granted tiers only, in fresh copies
``check_answer``   an attack's answer in the form that is scored, or an AttackFault
``alike``          whether two answers are the same, to within a tolerance
``rounded``        an answer in the precision in which it is kept
``pack``           an answer as tensors and plain facts, for the file; ``unpack`` is the inverse
``pool``           the answers of a sweep's runs as one
``score``          answer and secret → the score columns of a row, and the rows of the images
``secret_of``      the secret of a setting, drawn again from its data
``STACKS``         whether targets of one shape, and the cells on them, go together; if not, one target at a time
=================  ===============================================================================================================
"""

from __future__ import annotations

import importlib
from types import ModuleType

NAMES = ("reconstruction", "informed", "stealing")


def get(name: str) -> ModuleType:
    """The track of that name.

    Raises:
        BenchError: there is none.
    """
    if name not in NAMES:
        from bench.errors import BenchError, did_you_mean

        raise BenchError(
            f"unknown track '{name}'.{did_you_mean(name, NAMES)}",
            expected="one of " + ", ".join(NAMES),
            got=repr(name),
            hint="correct `track` of the attack",
        )
    return importlib.import_module(f"bench.tracks.{name}")
