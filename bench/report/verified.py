"""What the leaderboard says of attacks that were repeated on targets whose members nobody could know (``verified.csv``, `bench verify`).

A row counts for the version and the source of the attack that the board shows, and the latest one for its setting. Verified attacks come
first, those that were flagged last; in a folder without such a table nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.report.kit.page import Page
from bench.report.kit.text import clean, escape
from bench.store.verified import FLAGGED, VERIFIED, Verified

UNKNOWN = "no"
ORDER = {"yes": 0, FLAGGED: 2}  # of words; the others stand between


@dataclass(frozen=True)
class Standing:
    """What came of an attack's verifications."""

    word: str  # yes, flagged, or open
    reason: str = ""


Standings = Mapping[tuple[str, str], Standing]  # track, attack


def standings(pages: Iterable[Page], rows: Sequence[Verified]) -> Standings:
    """Of each attack whose shown version has verified rows of the same source, what came of them. Old rows do not tell their source."""
    if not rows:
        return {}
    shown: dict[tuple[str, str, str], set[str]] = {}
    for page in pages:
        columns = (page.rows[name].fillna("").astype(str) for name in ("track", "attack", "attack_version", "attack_source"))
        for *key, source in zip(*columns, strict=True):
            shown.setdefault((key[0], key[1], key[2]), set()).add(source)
    latest: dict[tuple[str, ...], Verified] = {}
    for row in sorted(rows, key=lambda row: row.date):
        sources = shown.get((row.track, row.attack, row.attack_version), set())
        if sources & {row.attack_source, ""}:
            latest[row.track, row.attack, row.attack_params, row.sweep, row.grid, row.setting] = row
    found: dict[tuple[str, str], list[Verified]] = {}
    for row in latest.values():
        found.setdefault((row.track, row.attack), []).append(row)
    return {key: _standing(mine) for key, mine in found.items()}


def word(found: Standings, track: str, attack: str) -> str:
    """The cell of the board's column: yes, flagged, open; no where there is nothing."""
    return found[track, attack].word if (track, attack) in found else UNKNOWN


def notes(found: Standings) -> list[str]:
    """What the column means, and why attacks are flagged, in lines."""
    if not found:
        return ["*Verified*: repeated on networks whose training images are withheld; none is yet."]
    wrong = [f"{escape(attack, 24)}: {escape(clean(one.reason, 120))}" for (_, attack), one in sorted(found.items()) if one.word == FLAGGED]
    return [
        "*Verified*: repeated on networks whose members nobody could know; others follow, flagged ones last.",
        *([f"*Flagged*: {'; '.join(wrong)}."] if wrong else []),
    ]


def _standing(rows: Sequence[Verified]) -> Standing:
    """Flagged where any setting is, verified where all are."""
    flagged = [row for row in rows if row.verdict == FLAGGED]
    if flagged:
        return Standing(FLAGGED, flagged[0].reason)
    return Standing("yes" if all(row.verdict == VERIFIED for row in rows) else "open")
