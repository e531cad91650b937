"""The best reconstructions of a cell in the papers' style: sorted by SSIM, each above the training image that it was paired with."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pandas as pd

from bench.api import Section
from bench.report.kit import labels
from bench.report.kit.figures import as_png, new_figure, styled
from bench.report.kit.groups import axis_of, in_words
from bench.report.kit.page import Page
from bench.report.kit.selection import gallery_sizes, ranked, shown_cells
from bench.report.kit.text import clean
from bench.tracks.reconstruction.page.pair import SHOWN, pair

ACROSS = 10  # pairs side by side
PAIR, GAP, HEAD = 2.42, 0.35, 0.75  # heights in sides of a picture: a pair with its number, after a setting, a setting's heading
SIDE = 0.68  # inches


@styled
def figure(scores: pd.DataFrame, images: pd.DataFrame, title: str) -> bytes | None:
    """PNG of the best members of each shown cell of a grid that asks for a gallery. None: it asks for none, or there are no thumbnails."""
    blocks = cells(scores, images)
    if not blocks:
        return None
    across = min(ACROSS, max(len(best) for _, best in blocks))
    width = max(across, 6) + 0.5
    total = 0.75 + sum(HEAD + PAIR * -(-len(best) // across) + GAP for _, best in blocks) - GAP
    picture = new_figure(width * SIDE, total * SIDE)
    axis = picture.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.set_xlim(0, width)
    axis.set_ylim(total, 0)
    axis.axis("off")
    axis.text(0, 0.02, clean(title, 80), ha="left", va="top", fontweight="bold", fontsize=11.5)
    tiles, top = [], 0.75
    headings = labels.short([in_words(axis_of(row), axis_of(row)) or str(row["dataset_display"]) for row, _ in blocks], 80)
    for heading, (row, best) in zip(headings, blocks, strict=True):
        axis.text(0, top + 0.05, heading, ha="left", va="top", fontsize=9.5, fontweight="bold")
        axis.text(0, top + 0.37, _counts(row), ha="left", va="top", fontsize=8, color="#555555")
        top += HEAD
        for start in range(0, len(best), across):
            for place, name in ((0.5, "rebuilt"), (1.52, "truth")):
                axis.text(0.38, top + place, name, ha="right", va="center", fontsize=7.5, color="#777777", rotation=90)
            for column, image in enumerate(best[SHOWN].iloc[start : start + across].to_dict("records")):
                tiles += pair(axis, image, 0.5 + column, top, 2.17, SIDE)
            top += PAIR
        top += GAP
    return as_png(picture, tiles)


def cells(scores: pd.DataFrame, images: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The cells of a grid's gallery in grid order: the score row, and the image rows of its best members.

    Members without a thumbnail are left out: a table that was made before its grid asked for a gallery has few.
    """
    if images.empty or scores["gallery"].isna().all():
        return []
    sizes = gallery_sizes(scores)
    parts = dict(list(images[images["cell_id"].isin(list(sizes))].groupby("cell_id")))
    found = []
    for row in shown_cells(scores).to_dict("records"):
        cell = row["cell_id"]
        if cell not in sizes or cell not in parts:
            continue
        best = ranked(parts[cell]).head(sizes[cell])
        best = best[best["truth_png"].notna()]
        if len(best):
            found.append(({str(name): value for name, value in row.items()}, best))
    return found


def _counts(row: dict[str, Any]) -> str:
    """``haim_kkt, seed 0: 12 of 500 members and 0 of 500 controls above 0.4``."""
    sides = []
    for side in ("members", "controls"):
        share, n = row[f"recall_{side}"], row[f"n_{side}"]
        if not pd.isna(share) and not pd.isna(n):
            sides.append(f"{round(share * n)} of {int(n)} {side}")
    runs = f", {int(row['runs'])} runs pooled" if not pd.isna(row["runs"]) and row["runs"] > 1 else ""
    return clean(f"{row['attack']}{runs}, seed {int(row['seed'])}" + (f": {' and '.join(sides)} above 0.4" if sides else ""), 110)


def section(picture: str | None) -> list[str]:
    """The lines of a page that show it; none where there is no picture."""
    if picture is None:
        return []
    return [
        "## Best reconstructions",
        "",
        "The members with the highest SSIM, best first, of the first seed of the strongest attack on each setting; of many settings those",
        "where it got most. Upper rows: what the attack submitted; lower rows: the training image it was paired with, and the SSIM of the",
        "two. The best are chosen by looking at the training images: how many there are, beside how many controls, says what the attack",
        "is worth.",
        "",
        f"![The best reconstructions, above the training images]({picture})",
        "",
    ]


class Gallery(Section):
    """See the module."""

    name: ClassVar[str] = "gallery"
    pictures: ClassVar[tuple[str, ...]] = ("gallery",)
    place: ClassVar[Literal["top", "part", "end"]] = "end"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return section(page.figures.get("gallery"))

    def figures(self, page: Page) -> dict[str, bytes | None]:
        """See Section."""
        return {"gallery": figure(page.rows, page.images, page.title)}
