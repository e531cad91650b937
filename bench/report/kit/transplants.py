"""Does an attack's score hang on the weights? What it found where the network was another seed's, and the rule that tells.

The rule was fixed before any row had the columns. Of one line (an attack on one setting of a grid) the hits of members over all its
transplants are set against those of controls by Fisher's exact test, one-sided; where the headline is an AUC, its ranks by Mann and
Whitney's. Below `ALPHA` the line is *suspect*, and its attack is *flagged* in the whole grid. Lines are not pooled: settings of a grid
share the images of a seed, so they are no independent tries. Controls are shown and never flagged: that they read no weights is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.api import Headline
from bench.metrics.exact import higher_ranks, more_hits

ALPHA = 0.001
FLAG = "not from the weights"


@dataclass(frozen=True)
class Transplants:
    """Of a line what it found in its own networks and, of the same seeds, in others'."""

    networks: int
    own: float  # means of the headline
    other: float
    hits: tuple[tuple[int, int], tuple[int, int]] | None  # of members and of controls, with the other networks; None: no hits are counted
    p: float | None  # of members and controls being alike there; None: the headline is neither hits nor an AUC
    failed: int = 0  # networks on which the attack failed, which count as nothing found

    @property
    def suspect(self) -> bool:
        """Whether more than chance is found."""
        return self.p is not None and self.p < ALPHA

    @property
    def verdict(self) -> str:
        """In words."""
        if self.p is None:
            return "no test of this headline"
        return f"**{FLAG}**" if self.suspect else "as chance has it"


def met(rows: Sequence[Mapping[str, Any]], headline: Headline) -> Transplants | None:
    """What the score rows of a line say of its transplants; None where none was made."""
    mine = [row for row in rows if row.get("transplant") is not None and row[headline.column] is not None]
    if not mine:
        return None
    hits: tuple[tuple[int, int], tuple[int, int]] | None = None
    p = None
    if headline.share is not None and headline.less is not None:
        hits = _counted(mine, "transplant_members", headline.share.of), _counted(mine, "transplant_controls", headline.less.of)
        p = more_hits(*hits)
    elif headline.ranked:
        p = higher_ranks([(row["transplant"], *(int(row[name]) for name in headline.ranked)) for row in mine])
    own, other = (float(np.mean([row[name] for row in mine])) for name in (headline.column, "transplant"))
    return Transplants(len(mine), own, other, hits, p, sum(bool(row["transplant_reason"]) for row in mine))


def _counted(rows: Sequence[Mapping[str, Any]], column: str, of: Sequence[str]) -> tuple[int, int]:
    """Hits, of how many, over the rows."""
    totals = [int(np.prod([row[name] for name in of])) for row in rows]
    return sum(round(row[column] * n) for row, n in zip(rows, totals, strict=True)), sum(totals)
