"""The ceiling of each setting: what the members themselves would score as an answer, under the protocol of the rows.

By protocol v2 it is 1, but for members that a control equals. By v1 a control that looks like a member passed for rebuilt with the member's
own image; rows of v1 that tell how many did have a ceiling too.
"""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from bench.api import Section
from bench.report.kit.groups import axis_names
from bench.report.kit.page import Page
from bench.report.kit.text import axis_labels, signed


class Ceiling(Section):
    """See the module."""

    name: ClassVar[str] = "ceiling"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        found = ceilings(page)
        if not found:
            return []
        values = {signed(value) for value in found.values()}
        if len(values) == 1:
            told = f"{values.pop()} at every setting" if len(found) > 1 else values.pop()
        else:
            told = "; ".join(f"{where} {signed(value)}" for where, value in found.items())
        return [f"**Ceiling**, the {page.groups[0].headline.words} of the members themselves: {told}.", ""]


def ceilings(page: Page) -> dict[str, float]:
    """Setting → mean over its networks, whatever attacks them; settings whose rows do not tell are left out."""
    names = axis_names(page.groups)
    rows = page.rows.drop_duplicates("cell_id").set_index("cell_id")
    of_row = pd.to_numeric(rows["ceiling"]).fillna(1 - pd.to_numeric(rows["exact_controls"]))
    settings: dict[str, list[str]] = {}
    for group in page.groups:
        settings.setdefault(", ".join(axis_labels(group, names)), []).extend(group.cell_ids.values())
    found = {}
    for where, cells in settings.items():
        known = of_row.loc[cells].dropna()
        if len(known):
            found[where] = float(known.groupby(rows.loc[known.index, "target_id"]).first().mean())
    return found
