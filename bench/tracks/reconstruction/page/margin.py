"""Are the members near the margin the ones that are rebuilt, as Haim et al. 2022 and Buzaglo et al. 2023 show in their scatter plots?

A KKT point is made of its support vectors: the images of the smallest margin, whose multipliers are not zero. The *distance* of an image
is its margin less the smallest margin among the members of its cell. Margins of different networks differ in scale, so that images are
put into quarters and ranked within their cell. Controls have margins too, and no part in the weights: what similarity to an easy or a hard
image is worth can be seen on them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from bench import seeds as streams
from bench.api import Section
from bench.metrics.intervals import Interval, means_over_seeds
from bench.report.kit import correlation, rows
from bench.report.kit.figures import COLOURS, as_png, panel_titles, panels, strongest, styled
from bench.report.kit.groups import Group, axis_names, in_words
from bench.report.kit.page import Page
from bench.report.kit.text import NONE, attack_name, axis_heads, axis_labels, escape, few, general, hits, number, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, LogNorm

THRESHOLD = 0.4  # SSIM above which an image counts as rebuilt, as in the score protocol
QUARTERS = ("smallest margins", "second quarter", "third quarter", "largest margins")
FAINTEST = 1e-3  # multipliers below this share of their cell's largest have the colour of the smallest


@dataclass(frozen=True)
class Side:
    """Members, or controls, of one cell that have a margin."""

    distance: np.ndarray  # margin less the smallest one among the cell's members
    ssim: np.ndarray  # 0 for a miss, as in the scores' medians and means
    multiplier: np.ndarray  # size of the multiplier, NaN where it is not known

    @functools.cached_property
    def quarter(self) -> np.ndarray:
        """0 … 3 by rank of distance; images of one distance share a quarter."""
        return correlation.quarter(self.distance)


Cells = dict[int, tuple[Side, Side]]  # seed → members, controls


def cells(group: Group, images: pd.DataFrame) -> Cells:
    """The sides of a group's cells that have margins of members and of controls."""
    return _sides(group, _by_cell(images))


def _by_cell(images: pd.DataFrame) -> rows.Sides:
    return rows.by_cell(images, ("margin", "multiplier", "ssim"), known="margin")


def _sides(group: Group, parts: rows.Sides) -> Cells:
    found: Cells = {}
    for seed, cell in sorted(group.cell_ids.items()):
        members, controls = parts.get(cell, ({}, {}))
        if len(members.get("margin", ())) and len(controls.get("margin", ())):
            nearest = float(members["margin"].min())
            found[seed] = _side(members, nearest), _side(controls, nearest)
    return found


def _side(part: rows.Side, nearest: float) -> Side:
    ssim = np.nan_to_num(part["ssim"]).round(4)  # as the table rounds it: a single 0.4 is a little more than 0.4
    return Side(part["margin"] - nearest, ssim, np.abs(part["multiplier"]))


def _lines(groups: Sequence[Group], images: pd.DataFrame) -> list[tuple[Group, Cells]]:
    """The attack lines (controls aside) that have cells with margins."""
    parts = _by_cell(images)
    mine = [(group, _sides(group, parts)) for group in groups if group.role == "attack"] if parts else []
    return [(group, found) for group, found in mine if found]


# --- the page ---------------------------------------------------------------------------------------------------------------------------


def section(groups: Sequence[Group], images: pd.DataFrame, picture: str | None = None) -> list[str]:
    """The lines of a page for the groups of one section; none where no image rows have margins."""
    lines = _lines(groups, images)
    if not lines:
        return []
    names = axis_names(groups)
    head = axis_heads(names)
    rhos = [correlations(found) for _, found in lines]
    return [
        "### Are members near the margin the ones rebuilt?",
        "",
        "The margin of an image is y·Φ(x), or for several classes the output of its class less the largest other one; its distance is the",
        "margin less the smallest margin among the members of its cell. Theory: the weights are made of the members on the margin alone.",
        "",
        *_verdicts([group for group, _ in lines], rhos, names),
        "",
        *([f"![SSIM against the distance to the margin]({picture})", ""] if picture else []),
        "Rank correlation (Spearman) within each cell, mean over seeds with Student's t interval. Negative for the distance: nearer",
        "images are rebuilt better. Controls say how much of that is in the kind of image; their difference is paired by seed.",
        "",
        *table(
            [*head, *_CORRELATED],
            [_correlations(group, rho, names) for (group, _), rho in zip(lines, rhos, strict=True)],
            right=range(len(head) + 1, len(head) + len(_CORRELATED)),
        ),
        "",
        "By quarters of the distance, within each cell; controls by quarters of their own distances, negative where the margin is smaller",
        "than any member's. SSIM is the mean over seeds of the mean over images, a miss counting 0, with its 95 % interval over seeds and",
        "images.",
        "",
        *table(
            [*head, *_QUARTERED],
            [row for group, found in lines for row in _quarters(group, found, names)],
            right=range(len(head) + 2, len(head) + len(_QUARTERED)),
        ),
        "",
    ]  # fmt: skip


_CORRELATED = (
    "attack", "members: SSIM and distance", "controls: SSIM and distance", "members − controls", "members: SSIM and multiplier", "seeds",
)  # fmt: skip
_QUARTERED = (
    "attack", "images", "distance, members : controls", "multiplier", "members > 0.4", "controls > 0.4", "SSIM of members [95 % CI]",
    "SSIM of controls [95 % CI]",
)  # fmt: skip


@dataclass(frozen=True)
class Correlations:
    """Spearman's ρ of each seed's cell, None where it is not defined."""

    members: list[float | None]  # SSIM and distance
    controls: list[float | None]  # the same
    multiplier: list[float | None]  # members' SSIM and size of multiplier

    @property
    def paired(self) -> list[float | None]:
        """Members less controls, seed by seed."""
        return [None if a is None or b is None else a - b for a, b in zip(self.members, self.controls, strict=True)]


def correlations(found: Cells) -> Correlations:
    """The three rank correlations of every cell."""
    pairs = list(found.values())
    return Correlations(
        [correlation.spearman(members.ssim, members.distance) for members, _ in pairs],
        [correlation.spearman(controls.ssim, controls.distance) for _, controls in pairs],
        [correlation.spearman(members.ssim, members.multiplier) for members, _ in pairs],
    )


def _verdicts(groups: Sequence[Group], rhos: Sequence[Correlations], names: Sequence[str]) -> list[str]:
    """Where nearer members are rebuilt better, beyond what controls show; a line an attack."""
    words: dict[str, dict[str, list[str]]] = {}
    for group, rho in zip(groups, rhos, strict=True):
        own, beyond = correlation.apart(rho.members), correlation.apart(rho.paired)
        if own is None or beyond is None:
            word = "not to be told"
        elif group.excess is None or group.excess.low <= 0:
            word = "not clearly more members than controls were rebuilt"
        elif own < 0 and beyond < 0:
            word = "**yes**, and more so than controls"
        elif own < 0:
            word = "yes, but not clearly more so than controls"
        elif own > 0:
            word = "**no**, the farther ones"
        else:
            word = "inconclusive"
        words.setdefault(attack_name(group), {}).setdefault(word, []).append(escape(in_words(group.axis, names)))
    return [
        f"- {name}: " + "; ".join(word + (f" at {few(places)}" if any(places) else "") for word, places in found.items()) + "."
        for name, found in words.items()
    ]


def _correlations(group: Group, rho: Correlations, names: Sequence[str]) -> list[str]:
    return [
        *axis_labels(group, names),
        attack_name(group),
        correlation.shown(rho.members),
        correlation.shown(rho.controls),
        correlation.shown(rho.paired, bounds=2),
        correlation.shown(rho.multiplier),
        str(len(rho.members)),
    ]


def _quarters(group: Group, found: Cells, names: Sequence[str]) -> list[list[str]]:
    lines = []
    for q, title in enumerate(QUARTERS):
        members, controls = ([_part(pair[i], pair[i].quarter == q) for pair in found.values()] for i in (0, 1))
        multipliers = np.concatenate([side.multiplier for side in members])
        multipliers = multipliers[np.isfinite(multipliers)]
        lines.append(
            [
                *axis_labels(group, names),
                attack_name(group),
                title,
                f"{_mean(members)} : {_mean(controls)}",
                general(float(multipliers.mean())) if len(multipliers) else NONE,
                _hits(members),
                _hits(controls),
                _ssim(members, group, title, "members"),
                _ssim(controls, group, title, "controls"),
            ]
        )
    return lines


def _part(side: Side, mask: np.ndarray) -> Side:
    return Side(side.distance[mask], side.ssim[mask], side.multiplier[mask])


def _mean(sides: Sequence[Side]) -> str:
    every = np.concatenate([side.distance for side in sides])
    return general(float(every.mean())).replace("-", "−") if len(every) else NONE


def _hits(sides: Sequence[Side]) -> str:
    every = np.concatenate([side.ssim for side in sides])
    return hits((int((every > THRESHOLD).sum()), len(every)))


def _ssim(sides: Sequence[Side], group: Group, *names: str) -> str:
    found = mean_ssim([side.ssim for side in sides], group.grid, group.section, group.label, group.name, *names)
    return NONE if found is None else f"{number(found.estimate)} [{number(found.low)}, {number(found.high)}]"


def mean_ssim(values: Sequence[np.ndarray], *names: str) -> Interval | None:
    """Mean over seeds of the mean over images with its interval over both; None where no seed has any image.

    Args:
        values: SSIMs, one array a seed.
        names: of the random stream.
    """
    there = [x for x in values if len(x)]
    if not there:
        return None
    return means_over_seeds(there, streams.numpy_generator("report", "margin", *names))


# --- the picture ------------------------------------------------------------------------------------------------------------------------


def figure(groups: Sequence[Group], images: pd.DataFrame, title: str) -> bytes | None:
    """PNG: SSIM against the distance to the margin, a panel a setting (its strongest attack line), members coloured by multiplier.

    None where no image rows have margins, or all attacks are flagged.
    """
    lines = _lines(groups, images)
    chosen = {id(group) for group in strongest([group for group, _ in lines])}
    return _panels([(group, found) for group, found in lines if id(group) in chosen], title) if chosen else None


@styled
def _panels(lines: Sequence[tuple[Group, Cells]], title: str) -> bytes | None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.lines import Line2D

    picture, axes = panels(panel_titles([group for group, _ in lines]), f"{title}: members near the margin", right=1.0)
    shares = np.concatenate([_share(members.multiplier) for _, found in lines for members, _ in found.values()])
    faintest = _decade(shares)
    colours, norm = _colours(), LogNorm(faintest, 1.0)
    bottom = min(-0.05, *(float(side.ssim.min()) - 0.03 for _, found in lines for pair in found.values() for side in pair))
    for axis, (_, found) in zip(axes.flat, lines, strict=False):
        _scatter(axis, found, colours, norm)
        axis.set_ylim(bottom, 1.13)
        axis.set_xlabel("distance to the margin")
    for axis in axes[:, 0]:
        axis.set_ylabel("SSIM of the pair")
    width, height = picture.get_size_inches()
    handles = [Line2D([], [], linestyle="none", marker="o", markersize=4, color=colour) for colour in ("#b5b5b5", colours(1.0))]
    picture.legend(
        handles, ["controls", "members"], loc="upper left", ncols=2, frameon=False, fontsize=8.5, bbox_to_anchor=(0.0, 1 - 0.22 / height)
    )  # fmt: skip
    if np.isfinite(shares).any():
        place = picture.add_axes((1 - 0.85 / width, 0.5 / height, 0.13 / width, 1 - 1.45 / height))
        bar = picture.colorbar(ScalarMappable(norm, colours), cax=place)
        ticks = [tick for tick in (1e-3, 1e-2, 1e-1, 1.0) if tick >= faintest]
        bar.set_ticks(ticks, labels=[f"{'≤ ' if tick == FAINTEST else ''}{tick:g}" for tick in ticks])
        bar.ax.minorticks_off()
        bar.set_label("member's multiplier / largest of its cell", fontsize=8)
        bar.outline.set_visible(False)  # type: ignore[operator]
    return as_png(picture)


def _colours() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("multiplier", ["#f3c969", "#d1495b", "#4b1248"])


def _decade(shares: np.ndarray) -> float:
    """The largest of 0.001, 0.01 and 0.1 that is no larger than any known share; 0.001 where some are smaller."""
    known = shares[np.isfinite(shares)]
    return next((decade for decade in (1e-1, 1e-2) if len(known) and known.min() >= decade), FAINTEST)


def _scatter(axis: Axes, found: Cells, colours: Colormap, norm: LogNorm) -> None:
    """Draws one panel."""
    members, controls = [pair[0] for pair in found.values()], [pair[1] for pair in found.values()]
    x, y = (np.concatenate([getattr(side, name) for side in members]) for name in ("distance", "ssim"))
    far, similar = (np.concatenate([getattr(side, name) for side in controls]) for name in ("distance", "ssim"))
    share = np.concatenate([_share(side.multiplier) for side in members])
    # controls may lie far away on either side: those beyond the limits stand at the edge
    width = max(float(x.max()), 1e-12)
    low, high = max(float(np.quantile(far, 0.02)), -1.5 * width), min(max(width, float(np.quantile(far, 0.98))), 2.5 * width)
    low, high = min(low, 0.0) - 0.04 * width, high + 0.04 * width
    axis.scatter(np.clip(far, low, high), similar, s=9, color="#b5b5b5", alpha=0.7, linewidths=0, zorder=2, label="controls")
    unknown = ~np.isfinite(share)
    if unknown.any():
        axis.scatter(x[unknown], y[unknown], s=14, color=COLOURS[0], linewidths=0, zorder=3)
    order = np.argsort(share[~unknown], kind="stable")  # the large ones on top
    if len(order):
        shades = np.clip(share[~unknown][order], FAINTEST, 1.0)
        axis.scatter(
            x[~unknown][order], y[~unknown][order], s=16, c=shades, cmap=colours, norm=norm,
            edgecolors="white", linewidths=0.3, zorder=3,
        )  # fmt: skip
    axis.axhline(THRESHOLD, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    counts = f"{int((y > THRESHOLD).sum())} of {len(y)} members, {int((similar > THRESHOLD).sum())} of {len(similar)} controls above 0.4"
    axis.text(0.98, 0.98, counts, transform=axis.transAxes, ha="right", va="top", fontsize=7.5, color="#555555")
    axis.set_xlim(low, high)


def _share(multiplier: np.ndarray) -> np.ndarray:
    """Of the largest of its cell, NaN where unknown or all are zero."""
    known = multiplier[np.isfinite(multiplier)]
    return multiplier / known.max() if len(known) and known.max() > 0 else np.full(len(multiplier), np.nan)


class Margin(Section):
    """See the module."""

    name: ClassVar[str] = "margin"
    pictures: ClassVar[tuple[str, ...]] = ("margin",)

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return section(page.groups, page.images, page.figures.get("margin"))

    def figures(self, page: Page) -> dict[str, bytes | None]:
        """See Section."""
        return {"margin": figure(page.groups, page.images, page.title)}
