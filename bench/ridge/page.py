"""The page of the regression, and its figures, from the table alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tabulate import tabulate

from bench.report.kit.figures import COLOURS, as_png, new_figure, styled
from bench.report.kit.text import clean
from bench.store import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HALFWAY = 1.0  # the error of an answer that says nothing but the mean: of nought
SOFT = "#6f6f6f"
TICKS = (0.01, 0.1, 1, 10, 100, 1000)  # of ρ/d


def render(table: pd.DataFrame, folder: Path) -> Path:
    """Writes ``ridge.md`` and its figures, and returns the page.

    Raises:
        BenchError: the folder cannot be written.
    """
    parts = [
        "# Ridge regression with noise",
        "**Question.** How much differential privacy stops a record from being rebuilt out of what a regression releases, by an attacker "
        "who knows all others? Output-perturbed ridge regression and its closed-form attack are those of Cairney-Leeming, Bombari and "
        "Mondelli (2026), whose answer is a threshold: ρ of ρ-zCDP of the order of the number of dimensions d.",
        f"**Answer.** {_answer(table)}",
        "**Command.** `python -m bench ridge --dataset NAME`; page and figures follow from `ridge.parquet`.",
    ]
    for dataset in sorted(set(table["dataset"]) - {"ball"}):
        mine = table[table["dataset"].isin([dataset, "ball"])]
        display = clean(str(mine.loc[mine["dataset"] == dataset, "dataset_display"].iloc[0]))
        name = "ridge-" + "".join(c if c.isalnum() else "_" for c in str(dataset))[:40] + ".png"
        alt = f"Error of the attack, theory, lower bound and test accuracy against ρ over d: records from a ball, {display}"
        png = figure(mine, display)
        if png is not None:
            atomic_write(folder / "figures" / name, png)
        parts += [
            f"## {display}",
            f"![{alt}](figures/{name})",
            str(tabulate(_lines(mine), headers="keys", tablefmt="github", disable_numparse=True)),
        ]
    parts.append(
        "Errors are E‖x − x̂‖²/E‖x‖²: 0 is the record, 1 what the mean alone gives, 2 a random direction of the right length. "
        "Points: means over missing records with 95 % intervals. Theory: what the attack's error is in many dimensions, from "
        "the spectrum of the known records. Lower bound: no attack's error is below it; it needs the entropy of the records, "
        "which is known for those drawn evenly from a ball, and not for images. *Principal*: the same answer projected on the "
        "first ten principal directions of the known images. Threshold: the ρ/d at which the mean error passes 1. Images are "
        "less the mean of the known ones and scaled to one length, which, like their labels, the attacker is taken to know."
    )
    page = folder / "ridge.md"
    atomic_write(page, ("\n\n".join(parts) + "\n").encode())
    return page


def curve(table: pd.DataFrame, measure: str, d: int) -> pd.DataFrame:
    """Of one measure in d dimensions, by ρ/d: mean and half the width of its 95 % interval."""
    own = table[(table["measure"] == measure) & (table["d"] == d)]
    by = own.assign(ratio=own["rho"] / d).groupby("ratio")["value"]
    count = by.count().clip(lower=2)
    return pd.DataFrame({"mean": by.mean(), "half": 1.96 * by.std().fillna(0) / np.sqrt(count)})


def threshold(table: pd.DataFrame, measure: str, d: int) -> float:
    """The ρ/d at which a mean error falls below that of nought, between two measured ones in the logarithm; NaN: it never does."""
    own = curve(table, measure, d)["mean"]
    below = np.flatnonzero(own.to_numpy() < HALFWAY)
    if not len(below) or below[0] == 0:
        return float("nan")
    (a, b), (x, y) = own.to_numpy()[below[0] - 1 : below[0] + 1], np.log(own.index.to_numpy()[below[0] - 1 : below[0] + 1])
    return math.exp(x + (a - HALFWAY) / (a - b) * (y - x))


def spread(table: pd.DataFrame, measure: str) -> float:
    """The most that mean errors in different dimensions are apart at one ρ/d."""
    means = pd.DataFrame({d: curve(table, measure, d)["mean"].reset_index(drop=True) for d in _dimensions(table)})  # ratios have rounding
    return float((means.max(axis=1) - means.min(axis=1)).max())


def _dimensions(table: pd.DataFrame) -> list[int]:
    return sorted(int(d) for d in table["d"].unique())


def _answer(table: pd.DataFrame) -> str:
    said = []
    for name, mine in table.groupby("dataset", sort=True):
        passes = [threshold(mine, "error: closed form", d) for d in _dimensions(mine)]
        there = [value for value in passes if not math.isnan(value)]
        if not there:
            continue
        dimensions = ", ".join(f"{d}" for d in _dimensions(mine))
        what = "Records from a ball" if name == "ball" else clean(str(mine["dataset_display"].iloc[0]))
        said.append(
            f"{what}, d = {dimensions}: the error passes 1 at ρ/d = {min(there):.2f} to {max(there):.2f}, and the curves are at most "
            f"{spread(mine, 'error: closed form'):.2f} apart at one ρ/d."
        )
    return " ".join(said)


def _lines(table: pd.DataFrame) -> list[dict[str, str]]:
    lines = []
    for (part, display), mine in table.groupby(["part", "dataset_display"], sort=True):
        for d in _dimensions(mine):

            def at(measure: str, mine: pd.DataFrame = mine, d: int = d) -> str:
                value = threshold(mine, measure, d)
                return "–" if math.isnan(value) else f"{value:.2f}"

            accuracy = curve(mine, "accuracy", d)["mean"]
            lines.append(
                {
                    "records": "a ball" if part == "ball" else clean(str(display)),
                    "d": str(d),
                    "threshold ρ/d": at("error: closed form"),
                    "by theory": at("theory"),
                    "principal": "" if part == "ball" else at("error: principal"),
                    "test accuracy at ρ = d": f"{np.interp(0, np.log(accuracy.index), accuracy):.0%}" if len(accuracy) else "",
                }
            )
    return lines


@styled
def figure(table: pd.DataFrame, display: str) -> bytes | None:
    """PNG: errors of records from a ball with theory and lower bound, of images, and the accuracy of what is released, over ρ/d."""
    drawn = new_figure(13.2, 4.0)
    ball, images, accuracy = drawn.subplots(1, 3)
    for axis, part, heading in ((ball, "ball", "Records from a ball"), (images, "images", display)):
        mine = table[table["part"] == part]
        for colour, d in zip(COLOURS, _dimensions(mine), strict=False):
            _points(axis, curve(mine, "error: closed form", d), colour, f"d = {d}")
            axis.plot(curve(mine, "theory", d)["mean"], color=colour, linewidth=0.9, linestyle="--")
            if part == "images":
                axis.plot(curve(mine, "error: principal", d)["mean"], color=colour, linewidth=0.9, linestyle=":")
                _points(accuracy, curve(mine, "accuracy", d), colour, f"d = {d}")
        if part == "ball" and len(mine):
            bound = curve(mine, "lower bound", _dimensions(mine)[-1])["mean"]
            axis.fill_between(bound.index, 0, bound, color=SOFT, alpha=0.18, linewidth=0)
            axis.text(bound.index[0] * 1.2, 0.1, "no attack", color=SOFT, fontsize=8)
        axis.set_title(heading)
        axis.set_ylabel("error of the attack")
        axis.set_ylim(0, 2.1)
    accuracy.set_ylim(0.4, 1)
    accuracy.set_title("What the noise costs")
    accuracy.set_ylabel("test accuracy")
    for axis in (ball, images, accuracy):
        axis.set_xscale("log")
        axis.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axis.minorticks_off()
        axis.set_xlabel("ρ / d")
        axis.legend(frameon=False, fontsize=8)
    images.text(0.02, 0.03, "dashed: theory; dotted: principal", transform=images.transAxes, fontsize=8, color=SOFT)
    return as_png(drawn)


def _points(axis: Axes, own: pd.DataFrame, colour: str, label: str) -> None:
    axis.errorbar(own.index, own["mean"], yerr=own["half"], color=colour, marker="o", markersize=3, linewidth=0, elinewidth=1, label=label)
