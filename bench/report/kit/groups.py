"""The lines of tables: one group is a grid × setting (seed aside) × attack, over all its seeds. And what tells its setting from others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bench.api import EXCESS_RECALL, Headline, Share
from bench.metrics.intervals import Interval, paired
from bench.metrics.significance import direction
from bench.report.kit.transplants import Transplants
from bench.schema import SETTING_COLUMNS

CONVOLUTIONS = ("channels", "kernel", "pooling")  # null without convolutions, as in older rows
LATER = (*CONVOLUTIONS, "batch_size")  # likewise without minibatches
SETTING = [column.name for column in SETTING_COLUMNS if column.name not in ("seed", "input_shape")]
FACTS = ("train_accuracy", "test_accuracy", "train_loss", "epochs_run", "kkt_residual", "seconds_train")


@dataclass
class Group:
    """One line of a table: what one attack did to one setting, over all seeds."""

    grid: str
    section: str  # settings that differ beyond the axis are compared apart; empty when there is one such part
    axis: dict[str, str]
    axis_index: int
    track: str
    attack: str
    variant: str  # hyperparameters, where the grid runs one attack with several; else empty
    role: str
    access: str
    setting: dict[str, Any]
    seeds: list[int]
    counts: Counter[str]  # status → cells
    reasons: list[tuple[int, str, str]]  # seed, status, reason of the cells without scores
    headline: Headline = EXCESS_RECALL
    protocol: str = ""  # of its scores
    submitted: str = ""  # by whom and when; empty: run by this project
    hits: dict[str, tuple[int, int]] = field(default_factory=dict)  # e.g. "members" → (above the threshold, images), over ok seeds
    counted: dict[str, dict[int, tuple[int, int]]] = field(default_factory=dict)  # the same seed by seed, of members and controls
    excess: Interval | None = None  # the headline of its track; seeds without scores count as in `ranked`, in hits too
    members: Interval | None = None  # the headline's share
    controls: Interval | None = None  # and what is taken off
    intervals: dict[str, Interval | None] = field(default_factory=dict)  # what its track adds, by name
    means: dict[str, float | None] = field(default_factory=dict)  # over ok seeds; None if any ok seed has none
    per_seed: dict[int, float] = field(default_factory=dict)  # seed → the headline
    share: dict[int, float] = field(default_factory=dict)  # seed → the headline's share, where it has a null
    null: dict[int, float] = field(default_factory=dict)  # seed → what a look-up gets of it
    missed: list[int] = field(default_factory=list)  # of an attack with scores, the seeds without; the ranking has them at chance
    cell_ids: dict[int, str] = field(default_factory=dict)  # seed → cell with scores
    hyperparameters: dict[str, Any] = field(default_factory=dict)  # all of them, or none where the rows do not tell their defaults
    lpips_reasons: list[str] = field(default_factory=list)
    targets: dict[str, dict[str, float | None]] = field(default_factory=dict)  # target_id → facts of the trained network
    transplants: Transplants | None = None  # what it found where the network was another seed's; None: none was made
    lead: Interval | None = None  # of an attack: what is left of it beside the strongest control of its setting (`kit.lead`)
    surely: int = 0  # 1: surely ahead of every one of them
    flagged: bool = False  # the attack's score does not hang on the weights, by one of its lines in this grid

    @property
    def label(self) -> str:
        """The axis values, joined."""
        return ", ".join(self.axis.values())

    @property
    def cells(self) -> int:
        """Cells of the group, with scores or without."""
        return sum(self.counts.values())

    @property
    def ok(self) -> int:
        """Cells with scores."""
        return self.counts["ok"]

    @property
    def ranked(self) -> dict[int, float]:
        """Seed → the headline, of seeds without scores too: what an attack that fails there has to count with."""
        return {**dict.fromkeys(self.missed, self.headline.chance), **self.per_seed}

    @property
    def name(self) -> str:
        """Attack with its hyperparameters, where they tell lines apart."""
        return f"{self.attack} ({self.variant})" if self.variant else self.attack


def counts(rows: Sequence[Mapping[str, Any]], share: Share) -> tuple[np.ndarray, np.ndarray] | None:
    """Hits and of how many, a number a row; None where a row does not tell."""
    if any(row[name] is None for row in rows for name in (share.column, *share.of)):
        return None
    n = np.prod(np.array([[row[name] for name in share.of] for row in rows], dtype=np.int64), axis=1)
    return np.rint(np.array([row[share.column] for row in rows], dtype=float) * n).astype(np.int64), n


def setting_key(scores: pd.DataFrame) -> pd.Series:
    """One text per row that is the same for rows whose settings differ in the seed alone."""
    earlier = [name for name in SETTING if name not in LATER]
    parts = scores[["axis", *earlier, *LATER]].astype("object")
    parts = parts.where(parts.notna(), "")
    count = 1 + len(earlier)
    # a whole number is a float in a column where others are null
    later = [[f"{v:g}" if isinstance(v, float) else str(v) for v in row[count:] if v != ""] for row in parts.itertuples(index=False)]
    keys = ["\x1f".join([*map(str, row[:count]), *more]) for row, more in zip(parts.itertuples(index=False), later, strict=True)]
    return pd.Series(keys, index=scores.index, dtype="object")


@dataclass(frozen=True)
class Difference:
    """The headline at one axis value minus that at the first, paired by seed, with Student's t interval over the seeds."""

    attack: str
    value: str
    baseline: str
    interval: Interval | None  # None: fewer than two paired seeds
    estimate: float | None
    seeds: int
    direction: int | None  # of `significance.direction`
    words: str  # what is compared

    @property
    def verdict(self) -> str:
        """In words."""
        if self.estimate is None:
            return "no paired seeds"
        if self.direction is None:
            return "inconclusive (one seed)"
        return {1: f"**raises** {self.words}", -1: f"**lowers** {self.words}", 0: "inconclusive"}[self.direction]


def differences(groups: Sequence[Group]) -> list[Difference]:
    """Paired differences of every attack (controls aside) along the axis of one section.

    The baseline is the first axis value at which the attack has scores.
    """
    result = []
    by_attack: dict[str, list[Group]] = {}
    for group in groups:
        if group.role == "attack":
            by_attack.setdefault(group.name, []).append(group)
    for name, mine in sorted(by_attack.items()):
        scored = [group for group in mine if group.per_seed]
        if len(mine) < 2 or not scored:
            continue
        baseline = scored[0]
        for group in scored[1:]:
            shared = sorted(set(group.per_seed) & set(baseline.per_seed))
            deltas = [group.per_seed[seed] - baseline.per_seed[seed] for seed in shared]
            interval = paired(deltas, *made_of(group, baseline, shared)) if len(deltas) > 1 else None
            estimate = float(np.mean(deltas)) if deltas else None
            result.append(
                Difference(name, group.label, baseline.label, interval, estimate, len(shared), direction(deltas), group.headline.words)
            )
    return result


Counts = list[tuple[int, int]]  # hits and of how many, of some shares


def made_of(group: Group, other: Group, seeds: Sequence[int]) -> tuple[Counts, Counts]:
    """Of one line's headline less another's the shares that are added, and those that are taken off; none where they are not known."""
    sides = [_together(one, side, seeds) for one in (group, other) for side in ("members", "controls")]
    if any(side is None for side in sides):
        return [], []
    a, b, c, d = (side for side in sides if side is not None)
    return [a, d], [b, c]


def _together(group: Group, side: str, seeds: Sequence[int]) -> tuple[int, int] | None:
    known = group.counted.get(side, {})
    if any(seed not in known for seed in seeds):
        return None
    return sum(known[seed][0] for seed in seeds), sum(known[seed][1] for seed in seeds)


def axis_of(row: Mapping[str, Any]) -> dict[str, str]:
    """The axis labels of a row, a data set by its display name; a text that is no JSON object counts as one nameless axis."""
    text = row["axis"]
    if not text:
        return {}
    try:
        axis = json.loads(text)
    except ValueError:
        return {"axis": text}
    if not isinstance(axis, dict):
        return {"axis": text}
    named = {str(k): str(v) for k, v in axis.items()}
    if named.get("dataset") == row.get("dataset") and row.get("dataset_display"):
        named["dataset"] = str(row["dataset_display"])
    return named


def axis_names(groups: Sequence[Group]) -> list[str]:
    """The names of the axes along which the groups differ, in grid order; all names if they differ along none."""
    names = list(dict.fromkeys(name for group in groups for name in group.axis))
    varied = [name for name in names if len({group.axis.get(name) for group in groups}) > 1]
    return varied or names


def in_words(axis: Mapping[str, str], names: Iterable[str]) -> str:
    """The labels of some axes with their names, ``weight decay 0.001``; a data set needs no name."""
    return ", ".join(axis.get(n, "") if n == "dataset" else f"{n.replace('_', ' ')} {axis.get(n, '')}" for n in names)
