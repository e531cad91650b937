"""From rows to groups: one group is a grid × setting (seed aside) × attack, over all its seeds."""

from __future__ import annotations

import pandas as pd

from bench.store import SETTING_COLUMNS

SETTING = [column.name for column in SETTING_COLUMNS if column.name != "seed"]


def setting_key(scores: pd.DataFrame) -> pd.Series:
    """One text per row that is the same for rows whose settings differ in the seed alone."""
    parts = scores[["axis", *SETTING]].astype("object")
    parts = parts.where(parts.notna(), "")
    return pd.Series(["\x1f".join(map(str, row)) for row in parts.itertuples(index=False)], index=scores.index, dtype="object")
