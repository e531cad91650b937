"""Attacks whose score does not hang on the weights, told from score rows (``transplants`` has the rule)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from bench.api import Headline
from bench.report.kit.groups import setting_key
from bench.report.kit.rows import records
from bench.report.kit.transplants import met

LINE = ("grid", "attack", "attack_params", "sweep", "protocol", "track")  # what tells a line from others, beside its setting


def flagged(scores: pd.DataFrame, headline: Callable[[str | None], Headline]) -> set[tuple[str, str]]:
    """Grid and name of the attacks of which a line is suspect; controls are none.

    Args:
        headline: of a track.
    """
    if "transplant" not in scores:
        return set()
    rows = scores[scores["transplant"].notna() & (scores["status"] == "ok") & (scores["role"] != "control")]
    lines: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for key, row in zip(setting_key(rows), records(rows.drop(columns=["finished_at"], errors="ignore")), strict=True):
        lines.setdefault((key, *(row[name] for name in LINE)), []).append(row)
    found = ((line[0], met(line, headline(line[0]["track"]))) for line in lines.values())
    return {(row["grid"], row["attack"]) for row, one in found if one is not None and one.suspect}


def fair(scores: pd.DataFrame, headline: Callable[[str | None], Headline]) -> pd.DataFrame:
    """The rows without those of flagged attacks."""
    wrong = flagged(scores, headline)
    if not wrong:
        return scores
    return scores[[pair not in wrong for pair in zip(scores["grid"], scores["attack"], strict=True)]]
