"""What lines of tables have beyond the headline: intervals that pair each planted input with the clean networks, and claims that stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench import seeds as streams
from bench.metrics.intervals import means_over_seeds
from bench.report.kit.groups import Group

FALSE_POSITIVES = 0.05  # at which an owner's claim stands


def refine(images: pd.DataFrame | None) -> Callable[[Group, Sequence[Mapping[str, Any]]], None]:
    """See ``bench.api.Track.refine``. Intervals answer for other owners and other planted inputs.

    With image rows the interval of the excess pairs each planted input with what clean networks answer to it; without, answers of clean
    networks count as independent of each other and of the copy's.
    """
    planted = _beyond_clean(images)

    def line(group: Group, rows: Sequence[Mapping[str, Any]]) -> None:
        if group.excess is None or group.members is None:
            return
        known = [planted[row["cell_id"]] for row in rows if row["cell_id"] in planted]
        if not group.missed and [len(one) for one in known] == [row["n_members"] for row in rows]:  # some inputs are easy for every network
            rng = streams.numpy_generator("report", "theft", *(row["cell_id"] for row in rows))
            _, low, high = means_over_seeds(known, rng)
            if low < high:  # else no input differs from another, and the counts have a width
                group.excess = group.excess._replace(low=low, high=high)
        upheld = sum(row["watermark_p"] is not None and row["watermark_p"] <= FALSE_POSITIVES for row in rows)
        group.hits["upheld"] = upheld, len(rows)

    return line


def _beyond_clean(images: pd.DataFrame | None) -> dict[str, np.ndarray]:
    """Of each cell, for each planted input, whether its label came along, less the share of clean networks."""
    if images is None or "transferred" not in images:
        return {}
    planted = images[(images["split"] == "member") & images["transferred"].notna() & images["clean_rate"].notna()].sort_values("index")
    beyond = planted["transferred"] - planted["clean_rate"]
    return {str(cell): part.to_numpy(dtype=float) for cell, part in beyond.groupby(planted["cell_id"])}
