"""The table that ranks: beside the AUC the share of members found at a false positive rate of 1 %."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.api import Headline
from bench.report.kit.groups import Group
from bench.report.kit.ranking import SEEDS, TIME, Column, Ranking, headline_columns
from bench.report.kit.text import NONE


class OfScores(Ranking):
    """Attacks and controls, ranked within each axis value by the AUC."""

    name: ClassVar[str] = "ranking"

    def columns(self, headline: Headline) -> Sequence[Column]:
        """See Ranking."""
        return [*headline_columns(headline), Column("found at 1 % FPR", _found), SEEDS, TIME]

    def meanings(self) -> dict[str, str]:
        """See Section."""
        return {
            "membership AUC": "track membership: how often a training image scores above a control; 0.5 is chance",
            "found at 1 % FPR": "members above the threshold that at most 1 % of the controls are above; mean over the seeds",
        }


def _found(group: Group) -> str:
    found = group.means.get("membership_tpr")
    return NONE if found is None else f"{100 * found:.0f} %"
