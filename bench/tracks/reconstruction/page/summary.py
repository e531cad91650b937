"""What lines of tables have beyond the headline: hits under the other selections of the candidates, what the best one brings, and rank 1
among look-alikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.api import Share
from bench.metrics.intervals import shares_over_seeds
from bench.report.kit.groups import Group, counts

SELECTIONS = ("oracle_", "nn_", "haim_")  # prefixes of the recall columns


def refine(group: Group, rows: Sequence[Mapping[str, Any]]) -> None:
    """Hits of every selection, the interval of the oracle's excess recall, and why LPIPS is missing."""
    for prefix in SELECTIONS:
        found = [counts(rows, Share(f"{prefix}recall_{side}", (f"n_{side}",), "")) for side in ("members", "controls")]
        for side, pair in zip(("members", "controls"), found, strict=True):
            if pair is not None:
                group.hits[prefix + side] = int(pair[0].sum()), int(pair[1].sum())
        members, controls = found
        if prefix == "oracle_" and members is not None and controls is not None:
            group.intervals["oracle"] = shares_over_seeds(*members, *controls)[0]
    for side, column in (("members", "rank_first"), ("controls", "rank_first_controls")):
        pair = counts(rows, Share(column, (f"n_{side}",), ""))
        if pair is not None:
            group.hits[f"first_{side}"] = int(pair[0].sum()), int(pair[1].sum())
    group.lpips_reasons = sorted({row["lpips_reason"] for row in rows if row["lpips_median"] is None and row["lpips_reason"]})
