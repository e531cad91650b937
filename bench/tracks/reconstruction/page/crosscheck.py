"""The standing cross-check: the very answers that are scored here, scored against members of the next seed, whom no attack can have met.

If members were matched because of what images of this kind have in common, these would be matched as often; and if controls are a fair
null, they are matched as often as these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd

from bench.api import Section
from bench.report.kit import correlation
from bench.report.kit.page import Page
from bench.report.kit.text import escape, number


class CrossCheck(Section):
    """See the module."""

    name: ClassVar[str] = "crosscheck"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        mine = {cell for group in page.groups for cell in group.cell_ids.values()}
        rows = page.rows[page.rows["cell_id"].isin(mine) & page.rows["cross_recall"].notna()]
        if rows.empty:
            return []
        members, controls, other = (
            f"{number(100 * float(rows[name].mean()), 1)} %" for name in ("recall_members", "recall_controls", "cross_recall")
        )
        return [
            "### The same answers against another draw",
            "",
            f"Members of the next seed, which no attack here can have met: {other} of them are above 0.4 with the very answers that match",
            f"{members} of the members and {controls} of the controls, over {len(rows)} cells. Next seed − controls,",
            f"mean over seeds: {correlation.shown(differences(rows), decimals=3)}. Apart from 0, controls would be no fair null.",
            "",
            *_starts(page, rows),
        ]  # fmt: skip


def _starts(page: Page, rows: pd.DataFrame) -> list[str]:
    """How many answers are still the image that they began as, a line for each attack that tells; over the part's settings and seeds."""
    told = rows[rows["start_recall"].notna()]
    lines = []
    for name in sorted({group.name for group in page.groups}):
        cells = {cell for group in page.groups if group.name == name for cell in group.cell_ids.values()}
        own = told[told["cell_id"].isin(cells)]
        if not own.empty:
            share = f"{number(100 * float(own['start_recall'].mean()), 1)} %"
            lines.append(f"- {escape(name)}: {share} of the answers are still above 0.4 with the public image that they began as.")
    return [*lines, ""] if lines else []


def differences(rows: pd.DataFrame) -> Sequence[float]:
    """Recall of the next seed's members less that of the controls: of each seed the mean over its cells, which share targets."""
    apart = (rows["cross_recall"] - rows["recall_controls"]).astype(float)
    return [float(np.mean(values)) for _, values in apart.groupby(rows["seed"].to_numpy())]
