"""Public less blind: is an attack clearly worse where nobody could know the members?

*Flagged* is an attack that is surely worse on blind targets, by more than `MARGIN`: its margin was declared before anything was run, since
images that were moved and turned are a little different. *Verified* is one that cannot be worse by more than `MOST`, which was set after
one trial run of three seeds and before any verdict was published. Between the two more seeds must tell. Seeds do not pair public and blind
targets, whose members have nothing in common, so the two are taken as independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import tracks
from bench.api import Headline
from bench.metrics.intervals import LEVEL, Interval, difference_of, shares_over_seeds, t_interval
from bench.report.kit.groups import counts
from bench.store.verified import FAILED, FLAGGED, OPEN, VERIFIED

MARGIN = 0.1  # of the headline: surely worse by more is flagged
MOST = 0.3  # perhaps worse by more is open
SEEDS = 2  # on either side, at least
WORST_FIRST = (FAILED, FLAGGED, OPEN, VERIFIED)

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Judged:
    """What is said of an attack at one setting."""

    verdict: str
    reason: str
    public: Interval | None
    blind: Interval | None
    difference: Interval | None


def judged(public: Rows, blind: Rows, settings: int = 1, fault: tuple[str, str] | None = None) -> Judged:
    """The verdict on one attack at one setting.

    Args:
        public, blind: its score rows, one a seed, those without scores among them.
        settings: how many such verdicts the attack gets; each is made at 1 − 0.05 / settings, so that all are right at 95 %.
        fault: the verdict whatever the numbers say, and why.
    """
    headline = tracks.of_row(blind[0]["track"]).headline
    level = 1 - (1 - LEVEL) / settings
    ours, theirs = (_of(headline, rows, level) for rows in (public, blind))
    apart = difference_of(ours, theirs) if ours and theirs else None

    def say(verdict: str, reason: str) -> Judged:
        return Judged(verdict, reason, ours, theirs, apart)

    if fault is not None:
        return say(*fault)
    if lost := [row for row in blind if row["status"] not in ("ok", "skipped")]:
        return say(FAILED, f"{len(lost)} of {len(blind)} blind cells have no scores: {lost[0]['reason'] or lost[0]['status']}")
    if theirs is None:
        return say(OPEN, f"it does not run there: {blind[0]['reason']}")
    if apart is None:
        return say(OPEN, "it has no public rows of this version to compare with")
    if apart.low > MARGIN:
        return say(FLAGGED, f"clearly worse on blind targets, by more than {MARGIN:g}")
    if min(len(_scored(headline, rows)) for rows in (public, blind)) < SEEDS:
        return say(OPEN, f"fewer than {SEEDS} seeds")
    if apart.high > MOST:
        return say(OPEN, f"perhaps worse on blind targets by more than {MOST:g}; more seeds would tell")
    return say(VERIFIED, "")


def worst(verdicts: Sequence[str]) -> str:
    """The one that counts for all."""
    return min(verdicts, key=WORST_FIRST.index)


def columns(headline: Headline) -> list[str]:
    """The numbers that must come out the same when answers are scored again: the headline, and the shares that it is made of."""
    return [headline.column, *(share.column for share in (headline.share, headline.less) if share is not None)]


def _scored(headline: Headline, rows: Rows) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["status"] == "ok" and row[headline.column] is not None]


def _of(headline: Headline, rows: Rows, level: float) -> Interval | None:
    """The mean over seeds, with an interval for other seeds and other images."""
    scored = _scored(headline, rows)
    if not scored:
        return None
    if headline.share is not None and headline.less is not None:
        sides = counts(scored, headline.share), counts(scored, headline.less)
        if sides[0] is not None and sides[1] is not None:
            return shares_over_seeds(*sides[0], *sides[1], level=level)[0]
    mean, low, high = t_interval([row[headline.column] for row in scored], level=level)
    return Interval(mean, max(headline.low, low), min(headline.high, high))
