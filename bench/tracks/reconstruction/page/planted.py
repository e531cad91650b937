"""Watermarks under reconstruction: do planted images come back more often than ordinary ones, and do ordinary ones as often as before?

Where a defence plants inputs, members are ordinary or planted, and controls have unplanted inputs of the same kind. Each kind has its own
excess recall; their difference, seed by seed, says which of the two a network gives away. What a watermark does to the rest is the excess
of the ordinary images less that of the same attack on the same setting without a watermark, paired by seed. Why planted images should come
back is in their multipliers: a mislabelled image lies among others of another class, so that its margin is hard won (Haim et al. 2022,
eq. 3–6: the weights are made of the images with large ones).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from bench.api import Section
from bench.metrics.intervals import auc
from bench.report.kit import correlation, labels, rows
from bench.report.kit.figures import COLOURS, FAINT, as_png, new_figure, strongest, styled
from bench.report.kit.groups import Group, axis_names
from bench.report.kit.page import Page
from bench.report.kit.text import NONE, attack_name, axis_heads, axis_labels, clean, escape, general, hits, number, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THRESHOLD = 0.4  # SSIM above which an image counts as rebuilt, as in the score protocol
KINDS = ("planted", "ordinary")
WATERMARK = ("defense", "defense_params")  # fields of a setting in which a line may differ from its line without a watermark


@dataclass(frozen=True)
class Part:
    """The planted images of one cell, or the ordinary ones."""

    members: np.ndarray  # SSIM, 0 for a miss
    controls: np.ndarray  # likewise; of planted images the unplanted ones of that kind
    margin: np.ndarray  # of the members, under the labels trained with; NaN where unknown
    multiplier: np.ndarray  # size of the members' multipliers; NaN where unknown

    @property
    def excess(self) -> float | None:
        """Recall of members minus that of controls; None where either has none."""
        if not (len(self.members) and len(self.controls)):
            return None
        return float((self.members > THRESHOLD).mean() - (self.controls > THRESHOLD).mean())


Cells = dict[int, tuple[Part, Part]]  # seed → planted, ordinary


@dataclass(frozen=True)
class Line:
    """One attack on one watermark, and the same attack where there is none."""

    group: Group
    cells: Cells
    without: Group | None

    @property
    def apart(self) -> list[float | None]:
        """Excess recall of planted images less that of ordinary ones, a number a seed."""
        pairs = [(planted.excess, ordinary.excess) for planted, ordinary in self.cells.values()]
        return [None if a is None or b is None else a - b for a, b in pairs]

    @property
    def change(self) -> list[float | None]:
        """Excess recall of ordinary images less that of all members where there is no watermark, a number a seed that both have."""
        before = {} if self.without is None else self.without.per_seed
        return [
            None if seed not in before or ordinary.excess is None else ordinary.excess - before[seed]
            for seed, (_, ordinary) in self.cells.items()
        ]


def lines(groups: Sequence[Group], images: pd.DataFrame) -> list[Line]:
    """The lines whose cells tell planted images from ordinary ones."""
    parts = rows.by_cell(images, ("planted", "ssim", "margin", "multiplier"), known="planted")
    found = []
    for group in groups:
        mine = {seed: parts[cell] for seed, cell in sorted(group.cell_ids.items()) if cell in parts}
        cells = {seed: (_part(*sides, 1), _part(*sides, 0)) for seed, sides in mine.items()}
        if cells:
            found.append(Line(group, cells, _without(group, groups)))
    return found


def _part(members: rows.Side, controls: rows.Side, flag: int) -> Part:
    """The planted images of a cell, or the ordinary ones."""
    mine, theirs = ({name: column[side["planted"] == flag] for name, column in side.items()} for side in (members, controls))
    # rounded as the table rounds it: a single 0.4 is a little more than 0.4
    found, false = (np.nan_to_num(side["ssim"]).round(4) for side in (mine, theirs))
    return Part(found, false, mine["margin"], np.abs(mine["multiplier"]))


def _without(group: Group, groups: Sequence[Group]) -> Group | None:
    """The line of the same attack on the same setting without a defence."""

    def same(other: Group) -> bool:
        fields = (name for name in group.setting if name not in WATERMARK)
        return (
            other.name == group.name
            and other.section == group.section
            and other.setting["defense"] == "none"
            and all(other.setting[name] == group.setting[name] for name in fields)
        )

    return next((other for other in groups if same(other)), None)


# --- the page ---------------------------------------------------------------------------------------------------------------------------


def section(groups: Sequence[Group], images: pd.DataFrame, picture: str | None = None) -> list[str]:
    """The lines of a page for the groups of one section; none where nothing is planted."""
    found = lines(groups, images)
    if not found:
        return []
    names = axis_names(groups)
    head = axis_heads(names)
    first = len(head) + 1
    return [
        "### Planted and ordinary images",
        "",
        *[f"- {_sentence(line, names)}" for line in found if line.group.role == "attack"],
        "",
        *([f"![Excess recall and multipliers of planted and ordinary images]({picture})", ""] if picture else []),
        "Members are the images of the setting and the planted ones, which stand under their planted labels. Unplanted images are of the",
        "same kind, under labels drawn alike, and were never trained on. Excess recall is the share of members above SSIM 0.4 less that of",
        "the controls of their kind; differences are paired by seed, with Student's t interval over the seeds. SSIM is the mean over seeds",
        "of the mean over images, a miss counting 0. Planted inputs beside the images of the setting also make the training set larger.",
        "",
        *table([*head, *_REBUILT], [_rebuilt(line, names) for line in found], right=range(first, first + len(_REBUILT) - 1)),
        "",
        *_weighed(found, names, head),
    ]


_REBUILT = (
    "attack", "planted > 0.4", "unplanted > 0.4", "ordinary > 0.4", "controls > 0.4", "planted − ordinary excess [95 % CI]",
    "ordinary excess − without watermark [95 % CI]", "SSIM planted : unplanted", "SSIM ordinary : controls", "seeds",
)  # fmt: skip
_WEIGHED = (
    "planted labels learnt", "multiplier, planted : ordinary", "a planted one is the larger [95 % CI]",
    "distance to the margin, planted : ordinary", "networks",
)  # fmt: skip


def _verdict(values: Sequence[float | None], above: str, below: str, neither: str) -> str:
    """In words, by whether the interval over seeds leaves out 0."""
    apart = correlation.apart(values)
    if apart is None:
        return "not to be told"
    return {1: f"**{above}**", -1: f"**{below}**", 0: neither}[apart]


def _sentence(line: Line, names: Sequence[str]) -> str:
    where = ", ".join(["", *(escape(line.group.axis.get(name, "")) for name in names)])
    apart = _verdict(line.apart, "more often than ordinary ones", "less often than ordinary ones", "not apart from ordinary ones")
    said = f"{attack_name(line.group)}{where}: planted images come back {apart} ({correlation.shown(line.apart, bounds=2)})"
    if line.without is None:
        return said + "."
    change = _verdict(
        line.change, "more often than without a watermark", "less often than without one", "not apart from a network without one"
    )
    return f"{said}; ordinary ones {change} ({correlation.shown(line.change, bounds=2)})."


def _rebuilt(line: Line, names: Sequence[str]) -> list[str]:
    planted, ordinary = ([pair[i] for pair in line.cells.values()] for i in (0, 1))
    return [
        *axis_labels(line.group, names),
        attack_name(line.group),
        _hits([part.members for part in planted]),
        _hits([part.controls for part in planted]),
        _hits([part.members for part in ordinary]),
        _hits([part.controls for part in ordinary]),
        correlation.shown(line.apart, bounds=2),
        correlation.shown(line.change, bounds=2),
        _both(planted),
        _both(ordinary),
        str(len(line.cells)),
    ]


def _hits(sides: Sequence[np.ndarray]) -> str:
    every = np.concatenate(sides)
    return hits((int((every > THRESHOLD).sum()), len(every)))


def _both(parts: Sequence[Part]) -> str:
    return " : ".join(number(mean([getattr(part, side) for part in parts])) for side in ("members", "controls"))


def mean(values: Sequence[np.ndarray]) -> float | None:
    """Mean over seeds of the mean over the images of which the number is known; None where there is none."""
    known = [x[np.isfinite(x)] for x in values]
    means = [float(x.mean()) for x in known if len(x)]
    return float(np.mean(means)) if means else None


def _weighed(found: Sequence[Line], names: Sequence[str], head: Sequence[str]) -> list[str]:
    """What the weights hold of either kind: a line a setting, for this is the same whatever attacks."""
    chosen = list({(line.group.axis_index, line.group.label): line for line in reversed(found)}.values())[::-1]
    told = [line for line in chosen if any(np.isfinite(part.margin).any() for pair in line.cells.values() for part in pair)]
    if not told:
        return []
    return [
        "What the weights hold of either kind. The multiplier is that of the combination of the members' gradients that best explains",
        "the weights: 0 for an image that left no trace. The larger one: the chance that of a planted and an ordinary member of a network",
        "the planted one has the larger multiplier, 0.5 where planting makes no difference, with Student's t interval over the networks.",
        "The distance is the margin under the label trained with, less the smallest one among the members.",
        "",
        *table([*head, *_WEIGHED], [_weight(line, names) for line in told], right=range(len(head), len(head) + len(_WEIGHED))),
        "",
    ]


def _weight(line: Line, names: Sequence[str]) -> list[str]:
    pairs = list(line.cells.values())

    def both(value: Callable[[Part, Part, Part], np.ndarray]) -> str:
        means = (mean([value(pair[i], *pair) for pair in pairs]) for i in (0, 1))
        return " : ".join(general(x) for x in means)

    learnt = np.concatenate([planted.margin for planted, _ in pairs]) > 0
    return [
        *axis_labels(line.group, names),
        hits((int(learnt.sum()), len(learnt))),
        both(lambda part, planted, ordinary: part.multiplier),
        _chance([larger(*pair) for pair in pairs]),
        both(lambda part, planted, ordinary: part.margin - np.nanmin(np.concatenate([planted.margin, ordinary.margin]))),
        str(len(pairs)),
    ]


def _chance(values: Sequence[float | None]) -> str:
    found = correlation.over_seeds(values)
    if found is None:
        return NONE
    single = sum(value is not None for value in values) == 1
    return f"{number(found.estimate)} " + ("(one seed)" if single else f"[{number(max(0.0, found.low))}, {number(found.high)}]")


def larger(planted: Part, ordinary: Part) -> float | None:
    """The chance that a planted member has a larger multiplier than an ordinary one, ties counting half; None where they are not known."""
    a, b = (part.multiplier[np.isfinite(part.multiplier)] for part in (planted, ordinary))
    return auc(a, b) if len(a) and len(b) else None


# --- the picture ------------------------------------------------------------------------------------------------------------------------


def figure(groups: Sequence[Group], images: pd.DataFrame, title: str) -> bytes | None:
    """PNG: excess recall of planted and ordinary images by watermark, of the strongest attack on each, beside it their multipliers.

    None where nothing is planted, or no attack has scores that are not flagged.
    """
    found = [line for line in lines(groups, images) if line.group.role == "attack"]
    chosen = {id(group) for group in strongest([line.group for line in found])}
    return _panels([line for line in found if id(line.group) in chosen], title) if chosen else None


@styled
def _panels(found: Sequence[Line], title: str) -> bytes | None:
    weighed = any(np.isfinite(part.multiplier).any() for line in found for pair in line.cells.values() for part in pair)
    picture = new_figure(max(4.6, 1.6 + 0.85 * len(found)) * (2 if weighed else 1), 3.9)
    axes = picture.subplots(1, 2 if weighed else 1, squeeze=False)[0]
    picture.suptitle(clean(f"{title}: planted and ordinary images", 90), x=0.01, ha="left", fontweight="bold", fontsize=11)
    names = axis_names([line.group for line in found])
    several = len({line.group.name for line in found}) > 1
    where = [line.group.axis or {"": line.group.section or "all"} for line in found]
    attacks = [labels.short([line.group.name for line in found], 20)] if several else []
    settings = labels.ticks([[axis.get(name, "") for name in names] or list(axis.values()) for axis in where], 12)
    ticks = ["\n".join(parts) for parts in zip(settings, *attacks, strict=True)]
    _draw_excess(axes[0], found)
    if weighed:
        _draw_multipliers(axes[1], found)
    for axis in axes:
        axis.set_xticks(range(len(found)), ticks, fontsize=8)
        axis.set_xlim(-0.6, len(found) - 0.4)
        axis.grid(axis="y", color=FAINT, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(loc="best", frameon=False, fontsize=8)
    picture.subplots_adjust(top=0.86, bottom=0.2, wspace=0.22)
    return as_png(picture)


def _draw_excess(axis: Axes, found: Sequence[Line]) -> None:
    axis.axhline(0, color="#999999", linewidth=0.8, zorder=1)
    looks: Mapping[str, tuple[float, str, str]] = {
        "planted": (-0.2, COLOURS[1], "s"),
        "ordinary": (0.0, COLOURS[0], "o"),
        "without a watermark": (0.2, "#8a8a8a", "D"),
    }
    for name, (shift, colour, mark) in looks.items():
        points = []
        for x, line in enumerate(found):
            before = {} if line.without is None else line.without.per_seed
            values = [before.get(seed) if name not in KINDS else pair[KINDS.index(name)].excess for seed, pair in line.cells.items()]
            over = correlation.over_seeds(values)
            if over is not None:
                points.append((x + shift, over.estimate, over.estimate - over.low, over.high - over.estimate))
        if points:
            across, middle, low, high = np.array(points).T
            axis.errorbar(
                across, middle, yerr=[low, high], color=colour, marker=mark, linestyle="none", markersize=5.5, capsize=2.5, label=name
            )
    axis.set_ylabel("excess recall at SSIM > 0.4,\n95 % interval over seeds")


def _draw_multipliers(axis: Axes, found: Sequence[Line]) -> None:
    """A dot a member: its multiplier as a share of its network's largest."""
    for x, line in enumerate(found):
        for pair in line.cells.values():
            known = np.concatenate([part.multiplier for part in pair])
            largest = np.nanmax(known) if np.isfinite(known).any() else 0.0
            if not largest:
                continue
            for part, shift, colour, mark in zip(pair, (-0.15, 0.15), (COLOURS[1], COLOURS[0]), "so", strict=True):
                across = x + shift + np.linspace(-0.09, 0.09, len(part.multiplier))
                axis.plot(across, part.multiplier / largest, linestyle="none", marker=mark, markersize=3, color=colour, alpha=0.5)
    axis.set_ylabel("multiplier / largest of its network")


class Planted(Section):
    """See the module."""

    name: ClassVar[str] = "planted"
    pictures: ClassVar[tuple[str, ...]] = ("planted",)

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return section(page.groups, page.images, page.figures.get("planted"))

    def figures(self, page: Page) -> dict[str, bytes | None]:
        """See Section."""
        return {"planted": figure(page.groups, page.images, page.title)}
