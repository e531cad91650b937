"""Strips of reconstructions above the training images that they were paired with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import pandas as pd

from bench.api import Section
from bench.report.kit import labels
from bench.report.kit.figures import LINES, Tile, as_png, is_number, new_figure, styled
from bench.report.kit.groups import axis_of
from bench.report.kit.page import Page
from bench.report.kit.selection import BANDS, shown_cells, shown_images
from bench.report.kit.text import clean, signed
from bench.tracks.reconstruction.page.pair import SHOWN, pair

MAX_STRIPS = 16
HEADING = 20  # characters in a line of a strip's heading


class Strips(Section):
    """See the module."""

    name: ClassVar[str] = "strips"
    title: ClassVar[str] = "## Pictures"
    pictures: ClassVar[tuple[str, ...]] = ("strips",)
    place: ClassVar[Literal["top", "part", "end"]] = "end"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        if "strips" not in page.figures:
            return []
        return [
            "Upper rows: what the attack submitted; lower rows: the training image it was paired with, and the SSIM of the two.",
            "Best, median and worst pairs of the first seed of the strongest attack on each setting.",
            "",
            f"![Reconstructions above true images]({page.figures['strips']})",
            "",
        ]

    def figures(self, page: Page) -> dict[str, bytes | None]:
        """See Section."""
        return {"strips": strips(page.rows, page.images, page.title)}


@styled
def strips(scores: pd.DataFrame, images: pd.DataFrame, title: str) -> bytes | None:
    """PNG with a strip per setting of one grid: best, middle and worst reconstructions above the images they were paired with.

    Needs thumbnails in ``images``; None where there are none.
    """
    if images.empty:
        return None
    rows: list[tuple[dict[str, Any], pd.DataFrame]] = []
    chosen = shown_cells(scores)
    members = images[(images["split"] == "member") & images["cell_id"].isin(chosen["cell_id"])]
    cells = dict(list(members.groupby("cell_id", sort=False)))
    for row in chosen.to_dict("records"):
        if row["cell_id"] not in cells or len(rows) == MAX_STRIPS:
            continue
        shown = shown_images(cells[row["cell_id"]])
        shown = shown[shown["truth_png"].notna()]
        if len(shown):
            rows.append(({str(k): v for k, v in row.items()}, shown))
    if not rows:
        return None
    columns = {band: max(int((shown["band"] == band).sum()) for _, shown in rows) for band in BANDS}
    gap, label, height, head = 0.3, 2.75, 2.55, 0.85
    starts, x = {}, label
    for band in BANDS:
        starts[band] = x
        x += columns[band] + (gap if columns[band] else 0)
    width, scale = x - gap, 0.72
    total = head + height * len(rows) - 0.2
    figure = new_figure(width * scale, total * scale)
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.set_xlim(0, width)
    axis.set_ylim(total, 0)
    axis.axis("off")
    axis.text(0, 0.02, clean(title, 80), ha="left", va="top", fontweight="bold", fontsize=11.5)
    for band in BANDS:
        if columns[band]:
            axis.text(starts[band] + columns[band] / 2, head - 0.2, band, ha="center", va="center", fontsize=9, color="#666666")
    tiles: list[Tile] = []
    for i, ((row, shown), heading) in enumerate(zip(rows, _headings([row for row, _ in rows]), strict=True)):
        top = head + i * height
        tall = labels.tallest([heading])
        size = 9.5 * min(1.0, LINES / tall)
        axis.text(0, top + 0.1, heading, ha="left", va="top", fontsize=size, fontweight="bold")
        note = f"{clean(row['attack'], 24)}\nseed {int(row['seed'])}, excess {signed(row['excess_recall'])}"
        below = 0.2 + 0.3 * min(tall, 2) + 0.22 * max(0, min(tall, LINES) - 2)
        axis.text(0, top + below, note, ha="left", va="top", fontsize=8, color="#555555")
        axis.text(label - 0.12, top + 0.5, "rebuilt", ha="right", va="center", fontsize=7.5, color="#777777", rotation=90)
        axis.text(label - 0.12, top + 1.52, "truth", ha="right", va="center", fontsize=7.5, color="#777777", rotation=90)
        for band in BANDS:
            for j, image in enumerate(shown.loc[shown["band"] == band, SHOWN].to_dict("records")):
                tiles += pair(axis, image, starts[band] + j, top, 2.2, scale)
    return as_png(figure, tiles)


def _headings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Beside each strip its setting, by the axes along which the strips differ; two tracks may share one."""
    axes = [axis_of(row) or {"": str(row["dataset_display"])} for row in rows]
    names = list(dict.fromkeys(name for axis in axes for name in axis))
    varied = [name for name in names if len({axis.get(name) for axis in axes}) > 1] or names
    if len(varied) > 1:  # a number alone does not say of what
        numbers = {name for name in varied if any(is_number(axis.get(name, "")) for axis in axes)}
        axes = [{name: f"{name.replace('_', ' ')} {value}" if name in numbers else value for name, value in axis.items()} for axis in axes]
    points = [tuple(axis.get(name, "") for name in varied) for axis in axes]
    known = list(dict.fromkeys(points))
    return [dict(zip(known, labels.ticks(known, HEADING, broken=True), strict=True))[point] for point in points]
