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
``work``        the list of what the engine calls; ``answering``: what of it is needed where an attack runs
``page``        the sections of its part of a grid's page, one file each; no PyTorch
==============  =========================================================================================================

How a track is made
-------------------
A folder here (or a file for ``--plugin``, or an entry point in group ``reconbench.tracks``) and no other edit; ``tests/tracks/toy.py`` has
a whole one, written as a file for ``--plugin``. The folder registers the track alone; attacks go to ``attacks/``, metrics to
``bench/metrics/``. Attacks name the track (``track = "NAME"``), and a grid names the attacks.

1. ``columns(table)`` lists what its score rows and image rows hold beyond what every track has (``bench.schema``): shares as
   ``bench.schema.share``, each with a column for the controls beside it.
2. ``headline`` (``bench.api.Headline``) says which column ranks its lines, and in which words. Where that is the difference of two
   shares, name them with the columns that count what they are shares of: tables and pictures then have an interval over seeds and
   images. Where it is not (an AUC, with ``chance=0.5``), the interval is Student's t over the seeds. Order, bold print, pictures, the
   comparison with published rows, the leaderboard and what stands beside a claim follow from it.
3. ``protocol`` names the way in which answers become scores: v2, v3, … when the same answer comes to other scores. Old rows stay, and
   kept answers are scored again (``bench.engine.rescore``).
4. ``work`` has the functions of ``bench.api.TrackWork``; what is not special can be taken from ``bench.tracks.reconstruction.work``.
   ``check_answer`` takes an answer that it has checked once more, since attacks run in another process. ``score`` returns the score columns
   and an image row for each member and control. What it leaves unpublished it names in ``unpublished`` and ``unpublished_of_controls``; all
   other numbers are published, those of the controls too.
5. ``sections()`` is optional: without it the page has ``bench.report.kit.sections.STANDARD``. One of its own is a
   ``bench.api.Section`` in a file: ``lines(page)`` in Markdown, ``figures(page)`` in PNG. ``bench.report.kit`` has tables, text, drawing
   and correlations; ``group.means`` has the mean over seeds of every number of the score rows.
6. ``refine(images)`` is optional too: what a line has beyond that, such as an interval that pairs images.
7. ``python -m bench check NAME`` for the track and for each of its attacks.
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
