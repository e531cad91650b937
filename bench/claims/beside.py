"""The counts behind an effect: members and controls over the threshold, in words, and as shares where an effect has no spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench import tracks
from bench.api import EXCESS_RECALL, Claim, Headline, Row, Share
from bench.claims.choose import chosen
from bench.claims.effects import Images, correlations
from bench.claims.verdicts import Shares
from bench.report.kit.groups import counts
from bench.report.kit.text import NONE


def beside(claim: Claim, rows: Sequence[Row], images: Images) -> str:
    """The two shares that the headline of the rows' track is made of, over all cells of the test; of the two sides apart."""
    sides = [[row for row in rows if chosen(row, part)] for part in (claim.a, claim.b)] if claim.a else [list(rows)]
    text = " against ".join(_shares(side) for side in sides if side)
    if claim.test == "margin":
        both = [correlations(claim, str(row["cell_id"]), images) for row in rows]
        means = [[value for value in side if value is not None] for side in zip(*both, strict=True)]
        shown = [f"{np.mean(side):+.2f}".replace("-", "−") if side else "none" for side in means]
        text += f"; ρ {shown[0]} : {shown[1]}"
    return text


def _shares(side: Sequence[Row]) -> str:
    """Hits of how many, for members and controls; where the track tells its shares in per cent, their means."""
    headlines = {tracks.of_row(name).headline for name in {row["track"] for row in side}}
    headline = next(iter(headlines)) if len(headlines) == 1 else EXCESS_RECALL
    texts = []
    for share in (headline.share, headline.less):
        if share is None or any(row[share.column] is None for row in side):
            return NONE
        if headline.per_cent:
            texts.append(f"{100 * np.mean([float(row[share.column]) for row in side]):.1f} %")
            continue
        found = counts(side, share)
        if found is None or not found[1].all():
            return NONE
        texts.append(f"{found[0].sum()}/{found[1].sum()}")
    return f"{headline.per_cent} {' : '.join(texts)}".strip()


def counted(claim: Claim, rows: Sequence[Row]) -> Shares | None:
    """The shares that an effect of all these cells is made of; None where it is not made of shares, or the rows do not tell their counts.

    Of a comparison the second side's shares change places: what is taken off there is added.
    """
    headlines = {tracks.of_row(name).headline for name in {row["track"] for row in rows}}
    if len(headlines) != 1 or claim.test not in ("works", "level", "difference", "beats"):
        return None
    added, taken = _made_of(claim, headlines.pop())
    sides = [[row for row in rows if chosen(row, part)] for part in (claim.a, claim.b)] if claim.a else [list(rows), []]
    if claim.a and not sides[1]:
        return None  # beside a column of the attack's own rows
    plus: list[tuple[int, int]] = []
    minus: list[tuple[int, int]] = []
    for side, (up, down) in zip(sides, ((added, taken), (taken, added)), strict=True):
        for shares, into in ((up, plus), (down, minus)):
            for share in shares if side else ():
                found = counts(side, share)
                if found is None or not found[1].all():
                    return None
                into.append((int(found[0].sum()), int(found[1].sum())))
    return (plus, minus) if plus or minus else None


def _made_of(claim: Claim, headline: Headline) -> tuple[list[Share], list[Share]]:
    """The shares that a claim's column adds and takes off; none where it is no share."""
    known = {share.column: share for share in (headline.share, headline.less) if share is not None}
    if claim.column == headline.column and not claim.minus:
        return [share for share in (headline.share,) if share], [share for share in (headline.less,) if share]
    if claim.column in known and (not claim.minus or claim.minus in known):
        return [known[claim.column]], [known[claim.minus]] if claim.minus else []
    return [], []
