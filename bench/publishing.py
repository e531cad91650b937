"""Rows into a results folder, its pages rendered, and how they compare with what was there.

Knows rows only; whoever calls has collected them.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from bench import report, store
from bench.colour import interactive, show, smart
from bench.engine.progress import choose
from bench.errors import BenchError
from bench.report import terminal
from bench.report.compare import compare, summary_table
from bench.report.standing import to_publish
from bench.say import say

if TYPE_CHECKING:
    import pandas as pd

    from bench.engine.plan import Plan


def publish(
    planned: Plan, frame: pd.DataFrame, images: pd.DataFrame, rows: store.Store, folder: Path, against: Path, quiet: bool, keep: bool,
    alone: bool,
) -> dict[str, Any]:  # fmt: skip
    """Merges the plan's rows into the results folder, renders it, and says how they compare with what another (or it, before) holds.

    Args:
        frame, images: the score and image rows of the plan's cells; ``rows`` is the store that they are from.
        keep: rows of the folder that the plan's agree with stay as they are, image rows and pages too.
        alone: the folder shows the grid's latest run and none before; their rows stay in the store.
    """
    try:
        before = store.load_scores(against)
        fresh, pictures, standing = to_publish(frame, images, before) if keep else (frame, images, 0)
        left = _earlier(planned, folder) if alone else 0
        if len(fresh) or not store.has_results(folder):
            store.publish(fresh, pictures, folder, store=rows, alone=alone)
        render(folder, only_if_changed=True)
    except (BenchError, OSError) as error:
        text = str(error)
        raise BenchError(
            f"the rows are finished and kept in {rows}, but could not be published to {folder}: {text.partition(chr(10))[0]}",
            expected=getattr(error, "expected", "") or "a results folder that can be written",
            got=getattr(error, "got", "") or text,
            hint="mend it and run the same command again (nothing is computed twice), or choose another folder with --out",
        ) from error
    comparison = compare(frame, before)
    page = folder / f"{planned.grid}.md"
    page = page if page.exists() else folder / "leaderboard.md"
    if left:
        say(f"{left} rows of earlier runs of {planned.grid} left {folder}; the commands that made them bring them back (--out collects)")
    if not quiet:
        print(table(frame, images))
        plot(frame, images)
        print((f"beside {against}: " if comparison.compared and against != folder else "") + comparison.text)
        if standing and not len(fresh):
            print("the published table stays as it is")
        elif standing:
            print(f"{standing} published rows stay as they are, {len(fresh)} {'is' if len(fresh) == 1 else 'are'} replaced or new")
        show([("read ", ""), (str(page), "good")])
    counts = {"compared": comparison.compared, "agreeing": comparison.agreeing, "new": comparison.new}
    return {
        "comparison": {**counts, "against": str(against)},
        "results": str(folder),
        "read": str(page),
    }


def _earlier(planned: Plan, folder: Path) -> int:
    """How many rows of the plan's grid the folder holds that are not of the plan."""
    held = store.load_scores(folder)
    return int((~held.loc[held["grid"] == planned.grid, "cell_id"].isin([cell.id for cell in planned.cells])).sum())


def publish_rows(fresh: Sequence[Mapping[str, Any]], images: pd.DataFrame, rows: store.Store, folder: Path) -> None:
    """Publishes these rows of the store to a folder that may hold others, and renders it."""
    store.publish([dict(row) for row in fresh], images, folder, store=rows)
    render(folder)
    print(f"published to {folder}")


def render(folder: Path, only_if_changed: bool = False) -> list[Path]:
    """Renders a results folder, and shows which page it is at."""
    progress = choose()

    def tell(number: int, total: int, title: str) -> None:
        if number == 1:
            progress.start(total, task="render")
        else:
            progress.finished("", "ok", "")
        progress.stage(f"rendering page {title} ({number} of {total})")

    try:
        return report.render(folder, only_if_changed=only_if_changed, tell=tell, at_once=None)
    finally:
        progress.close()


def owners(fresh: Sequence[dict[str, Any]], folders: Sequence[Path]) -> dict[Path, list[dict[str, Any]]]:
    """Which results folders hold which of the cells, by whatever score protocol: each is brought up to date where it is."""
    result: dict[Path, list[dict[str, Any]]] = {}
    for folder in folders:
        held = store.load_scores(folder)[list(store.SAME_ANSWER)].astype("object")
        keys = set(held.where(held.notna(), None).itertuples(index=False, name=None))
        own = [row for row in fresh if tuple(row[name] for name in store.SAME_ANSWER) in keys]
        if own:
            result[folder] = own
    return result


def plot(frame: pd.DataFrame, images: pd.DataFrame) -> None:
    """The strongest attacks and controls, drawn where somebody looks: in a terminal, as wide as it is."""
    if not interactive(sys.stdout):
        return
    drawn = smart(sys.stdout) and "utf" in (sys.stdout.encoding or "").lower()
    for line in terminal.lines(frame, images, shutil.get_terminal_size().columns, drawn):
        show(line)


def table(frame: pd.DataFrame, images: pd.DataFrame) -> str:
    """The short table: one line a setting and attack, over seeds."""
    lines = [{name: text for name, text in line.items() if name != "grid"} for line in summary_table(frame, images)]
    return str(tabulate(lines, headers="keys", disable_numparse=True)) if lines else "no rows"
