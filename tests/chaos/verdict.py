"""What came of it: rows lost and doubled, reasons that are not true, scores that differ from those of an undisturbed run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bench.schema import IMAGE_KEY, SCORE_KEY

from ..same_rows import NOT_COMPARED, differing
from .trial import GUILTY, OUTSIDE, Trial

SKIPPED = NOT_COMPARED | {"stderr", "reason"}  # reasons are judged by themselves


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
    for table, mine, theirs in (("score", scores.drop_duplicates("cell_id"), peace[0]), ("image", images, peace[1])):
        of_done = [frame[frame["cell_id"].isin(done & set(peace[0]["cell_id"]))] for frame in (mine, theirs)]
        verdict.differing += [f"{table} rows: {what}" for what in differing(*of_done, leave=SKIPPED)]
    return verdict
