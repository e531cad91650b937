"""What the leaderboard says of submissions: who, when, what, under which licence, and whether it was verified.

Rows of a submission are in the tables once a maintainer has verified it (``bench.store.submissions``); before that it is named here alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.report.kit.text import NONE, clean, escape, table

WORDS = {"yes": "yes", "no": "**not verified**", "open": "open", "flagged": "**flagged**", "failed": "**failed**", "refused": "**refused**"}


def section(others: Sequence[Mapping[str, Any]]) -> list[str]:
    """Heading, legend and table. All texts are a stranger's."""
    rows = [
        [
            escape(one["submission"], 40),
            escape(", ".join(one.get("attacks", ())), 40) or NONE,
            escape(one.get("by", ""), 40) or NONE,
            escape(one.get("date", "")) or NONE,
            escape(", ".join(one.get("grids", ())), 40) or NONE,
            escape(one.get("licence", ""), 24) or NONE,
            WORDS[one["verified"]] + (f": {escape(clean(one['reason'], 120))}" if one["reason"] else ""),
        ]
        for one in others
    ]
    return [
        "## Submissions",
        "",
        "Attacks by others. Those verified, or open, stand in the tables with who and when; of the rest no number is shown.",
        "",
        *table(["submission", "attacks", "by", "when", "grids", "licence", "verified"], rows),
    ]
