"""What came of it: rows lost and doubled, reasons that are not true, scores that differ from those of an undisturbed run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.schema import COST_COLUMNS, IMAGE_KEY, PROVENANCE_COLUMNS, SCORE_KEY

from .trial import GUILTY, OUTSIDE, Trial

SKIPPED = {*COST_COLUMNS, *PROVENANCE_COLUMNS, "stack", "stack_halvings", "stderr", "reason"}  # reasons are judged by themselves
UNROUNDED = {"train_loss": 1e-12, "kkt_residual": 1e-9, "attack_loss": 1e-9}  # column → relative difference that stacking may make


@dataclass
class Verdict:
    """Each fault in words; all lists are empty if it came out whole."""

    cells: int
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.untrue or self.differing)


def unexplained(scores: pd.DataFrame, trial: Trial, before: Mapping[str, tuple[str, re.Pattern[str]]], killed: int) -> list[str]:
    """Rows that failed, or did not, against what their attack and shape must come to.

    Args:
        before: attack → status and reason that its guilty cells may have beside success, since nothing was tried again yet.
        killed: how many cells may have failed because their worker was killed, twice each.
    """
    found, outside = [], 0
    for row in scores.to_dict("records"):
        guilty = row["hidden"] == str(GUILTY)
        status, reason = row["status"], row["reason"] or ""
        must = trial.reasons.get(row["attack"]) if guilty else None
        if OUTSIDE.match(reason) and outside < killed:
            outside += 1
            continue
        if must is not None:
            if status == must[0] and must[1].search(reason):
                continue
        elif status == "ok":
            continue
        may = before.get(row["attack"]) if guilty else None
        if may is None or status != may[0] or not may[1].search(reason):
            found.append(f"{row['attack']} on {row['dataset']}, width {row['hidden']}, seed {row['seed']}: {status}, {reason!r}")
    return found


def judge(home: Path, out: Path, peace: tuple[pd.DataFrame, pd.DataFrame], planned: set[str], trial: Trial) -> Verdict:
    """The rows of a store, and those published, against the grid and against the rows of an undisturbed run.

    Args:
        peace: score and image rows of that run, in which no attack misbehaved.
        planned: all cells of the grid.
    """
    from bench.store import Store, load_results

    verdict = Verdict(len(planned))
    store = Store(home / "rows")
    scores, images = store.rows(), store.images()
    published, published_images = load_results(out)
    for where, frame, pictures in (("the store", scores, images), ("the published table", published, published_images)):
        cells = set(frame["cell_id"])
        verdict.lost += [f"{cell} is not in {where}" for cell in sorted(planned - cells)]
        verdict.doubled += [f"{cell} is not of the grid, and is in {where}" for cell in sorted(cells - planned)]
        twice = frame[frame.duplicated(list(SCORE_KEY))]
        verdict.doubled += [f"{cell} is twice in {where}" for cell in twice["cell_id"]]
        count = int(pictures.duplicated(list(IMAGE_KEY)).sum())
        verdict.doubled += [f"{count} image rows are twice in {where}"] if count else []
        scored = set(frame.loc[frame["status"] == "ok", "cell_id"])
        verdict.lost += [f"{cell} has no image rows in {where}" for cell in sorted(scored - set(pictures["cell_id"]))]
    verdict.untrue = unexplained(scores, trial, {}, killed=0)
    done = set(scores.loc[scores["status"] == "ok", "cell_id"])
    of_done = [frame[frame["cell_id"].isin(done)] for frame in (images, peace[1])]
    verdict.differing = [*_differing(scores, peace[0]), *_differing_images(*of_done)]
    return verdict


def _differing(scores: pd.DataFrame, peace: pd.DataFrame) -> list[str]:
    """Columns that differ, each with the first cell."""
    peace = peace.set_index("cell_id")
    scores = scores[(scores["status"] == "ok") & scores["cell_id"].isin(peace.index)].drop_duplicates("cell_id").set_index("cell_id")
    found = []
    for cell, row in scores.iterrows():
        wrong = [name for name in scores.columns if name not in SKIPPED and not _same(str(name), row[name], peace.loc[cell, name])]
        if wrong:
            name = wrong[0]
            found.append(f"{row['attack']} [{cell}]: {', '.join(wrong)}; {name} is {row[name]!r}, undisturbed {peace.loc[cell, name]!r}")
    return found


def _same(column: str, a: Any, b: Any) -> bool:
    if column == "sweep_runs" and isinstance(a, str) and isinstance(b, str):
        return _close(json.loads(a), json.loads(b))
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or a == b or abs(a - b) <= UNROUNDED.get(column, 0.0) * max(abs(a), abs(b), 1e-3)
    return bool(a == b) or (pd.isna(a) and pd.isna(b))


def _close(a: Any, b: Any) -> bool:
    """JSON that is the same but for the last digits of unrounded numbers."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_close, a, b))
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) if isinstance(a, float) and isinstance(b, float) else bool(a == b)


def _differing_images(images: pd.DataFrame, peace: pd.DataFrame) -> list[str]:
    """Image rows that differ from the undisturbed ones in a number or in a thumbnail."""
    key = list(IMAGE_KEY)
    mine, peace = images.sort_values(key, ignore_index=True), peace.sort_values(key, ignore_index=True)
    if not mine[key].equals(peace[key]):
        return [f"{len(mine)} image rows, undisturbed {len(peace)}, or of other images"]
    return [f"image rows differ in {name}" for name in peace.columns if not mine[name].equals(peace[name])]
