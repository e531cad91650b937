"""The grids that whoever submits an attack runs, and whoever verifies it: those that its track declares (`Track.required`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bench import tracks
from bench.errors import BenchError
from bench.grids.read import Loaded, load
from bench.grids.select import select_attacks


def required(track: str) -> list[Loaded]:
    """The required grids of a track, whole.

    Raises:
        BenchError: nothing can be submitted in this track.
    """
    names = tracks.get(track).required
    if not names:
        having = [name for name in tracks.names() if tracks.get(name).required]
        raise BenchError(
            f"the track '{track}' takes no submissions",
            expected="an attack of a track that names required grids: " + ", ".join(having),
            got=track,
            hint="open an issue, and say which grid would show what the attack can do",
        )
    return [load(name) for name in names]


def of_attacks(loaded: Loaded, attacks: Sequence[str], controls: Sequence[str] = ()) -> Loaded:
    """A grid with these attacks, which it need not have, at their defaults, and with some of its controls."""
    return dataclasses.replace(loaded, grid=select_attacks(loaded.grid, [*attacks, *controls], extra=list(attacks)))
