"""Defences: the frontier of privacy and utility, what the most vulnerable images lose, and a sentence for each that one can act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from bench.api import Section
from bench.registry import register
from bench.report.kit.defences import ALPHA, Point, parts, sentences, tenth, undominated
from bench.report.kit.figures import COLOURS, FAINT, MARKS, as_png, new_figure, styled
from bench.report.kit.page import Page
from bench.report.kit.text import NONE, attack_name, clean, escape, general, hits, interval, number, of_headline, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_PANELS = 6


@register
class Defences(Section):
    """What each defence keeps back, and what it costs."""

    name: ClassVar[str] = "defences"
    summary: ClassVar[str] = "what the strongest attack finds beside each defence, and what that costs in test accuracy"
    title: ClassVar[str] = "## What each defence is worth"
    place: ClassVar[Literal["top", "part", "end"]] = "top"
    pictures: ClassVar[tuple[str, ...]] = ("defences",)

    def applies(self, page: Page) -> bool:
        """See Section."""
        return any(group.setting.get("defense") not in (None, "none") for group in page.groups)

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        found = parts(page.groups, page.rows, page.images)
        lines = [line for name, part in found.items() for line in _of_part(name if len(found) > 1 else "", part)]
        if not lines:
            return []
        picture = page.figures.get("defences")
        return [
            "Each setting is compared, seed by seed, with no defence at the same data and initial weights. The strongest attack is the one",
            "that finds most on that very setting. A defence is *effective* where every attack on it finds surely less than the strongest",
            f"one without it, all p-values of this page corrected together (Holm, α = {ALPHA:g}), and an attack that knows of the defence",
            "is among them; without such an attack it is *not judged*. Effective does not mean safe: what is left stands beside it.",
            "",
            *([f"![What comes back against test accuracy]({picture})", ""] if picture else []),
            *lines,
        ]

    def figures(self, page: Page) -> dict[str, bytes | None]:
        """See Section."""
        found = {
            name: part
            for name, part in parts(page.groups, page.rows, page.images).items()
            if part[0].strongest.headline.column == "excess_recall"
        }
        return {"defences": figure(found, page.title) if found else None}

    def meanings(self) -> dict[str, str]:
        """See Section."""
        return {
            "lowered by [95 %]": "what the strongest attack finds without the defence, less what it finds beside it, paired by seed",
            "accuracy lost [95 %]": "test accuracy without the defence less test accuracy with it, paired by seed",
            "dominated by": "a setting at which no more comes back and accuracy is no lower, one of both being better, by means",
            "tenth's SSIM": "mean SSIM of the tenth of the members that came back best, over all attacks: each setting has its own tenth",
            "same images still rebuilt": "of the tenth that came back best without a defence, how many are above 0.4 beside it",
        }


def _of_part(name: str, part: Sequence[Point]) -> list[str]:
    frontier = [point.label for point in undominated(part)]
    bounds = [column for column in ("epsilon", "rero_bound") if any(column in point.bounds for point in part)]
    head = [
        "setting", "test accuracy", "accuracy lost [95 %]", "strongest attack", part[0].strongest.headline.words, "lowered by [95 %]",
        "verdict", "knows of it", "dominated by", *bounds,
    ]  # fmt: skip
    lines = [[*_line(point), *(general(point.bounds.get(column)) for column in bounds)] for point in part]
    tenths = [point for point in part if point.ssim]
    return [
        *([f"### {escape(name)}", ""] if name else []),
        *[f"- **{escape(point.defence)}**: {escape(words, 600)}" for point, words in sentences(part)],
        "",
        f"Undominated, the most accurate first: {'; '.join(map(escape, frontier))}.",
        "",
        *table(head, lines, right=[1, 2, 4, 5]),
        "",
        *(_vulnerable(tenths) if tenths else []),
    ]


def _line(point: Point) -> list[str]:
    adapted = ", ".join(map(escape, point.adapted)) if point.base is not None and point.setting["defense"] != "none" else NONE
    return [
        escape(point.label),
        number(point.utility, 3),
        interval(point.cost),
        attack_name(point.strongest),
        of_headline(point.strongest),
        interval(point.lowered),
        NONE if point.base is None else f"**{point.verdict}**" if point.verdict == "effective" else point.verdict,
        adapted or "none was run",
        NONE if point.dominated_by is None else escape(point.dominated_by.label),
    ]


def _vulnerable(part: Sequence[Point]) -> list[str]:
    """What the images lose that came back best."""
    rows = []
    for point in part:
        own = float(np.mean([tenth(ssim) for ssim in point.ssim.values()]))
        rows.append([escape(point.label), number(own), interval(point.vulnerable), hits(point.still)])
    return [
        "The most vulnerable tenth of the images, whatever attack found them:",
        "",
        *table(["setting", "tenth's SSIM", "lowered by [95 %]", "same images still rebuilt"], rows, right=[1, 2, 3]),
        "",
    ]


# --- the picture ------------------------------------------------------------------------------------------------------------------------


@styled
def figure(found: dict[str, list[Point]], title: str) -> bytes | None:
    """PNG: what the strongest attack finds against test accuracy, a panel a data set, a mark a setting, the undominated ones joined."""
    panels: dict[str, list[Point]] = {}
    for name, part in found.items():
        for point in part:
            data = str(point.setting.get("dataset_display") or point.setting["dataset"])
            panels.setdefault(f"{name.split(' · ')[0]} {data}".strip() if len(found) > 1 else data, []).append(point)
    shown = list(panels.items())[:MAX_PANELS]
    looks = _looks([point for _, part in shown for point in part])
    drawing = new_figure(8.6, 4.3 * len(shown) + 0.5)
    axes = drawing.subplots(len(shown), 1, squeeze=False)[:, 0]
    drawing.suptitle(clean(f"{title}: what comes back against test accuracy", 90), x=0.01, ha="left", fontweight="bold", fontsize=11)
    for axis, (name, part) in zip(axes, shown, strict=True):
        _draw(axis, part, looks)
        axis.set_title(clean(name, 80), loc="left", fontweight="bold")
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    axes[0].legend(handles.values(), handles.keys(), loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8.5)
    drawing.subplots_adjust(hspace=0.35)
    return as_png(drawing)


def _looks(every: Sequence[Point]) -> dict[str, tuple[str, str]]:
    names = list(dict.fromkeys(point.defence for point in every if point.base is not None))
    return {name: (COLOURS[i % len(COLOURS)], MARKS[(i + i // len(COLOURS)) % len(MARKS)]) for i, name in enumerate(names)}


def _draw(axis: Axes, part: Sequence[Point], looks: dict[str, tuple[str, str]]) -> None:
    axis.axhline(0, color="#999999", linewidth=0.8, zorder=1)
    frontier = [point for point in undominated(part) if point.released]
    axis.plot([p.utility for p in frontier], [p.found for p in frontier], color="#bbbbbb", linewidth=1.2, zorder=1, label="undominated")
    for name in looks:  # along the strengths of one defence
        mine = [p for p in part if p.base is not None and p.defence == name]
        axis.plot([p.utility for p in mine], [p.found for p in mine], color=looks[name][0], linewidth=0.8, alpha=0.5, zorder=2)
    named: set[str] = set()
    for point in part:
        low, high = (point.strongest.excess.low, point.strongest.excess.high) if point.strongest.excess else (point.found, point.found)
        ends = np.clip([[point.found - low], [high - point.found]], 0, None)
        colour, mark = looks[point.defence] if point.base is not None else ("#222222", "*")
        label = point.defence if point.base is not None else "no defence"
        filled = point.released  # hollow: nobody is given weights
        axis.errorbar(
            [point.utility], [point.found], yerr=ends, color=colour, marker=mark, linestyle="none", capsize=2, elinewidth=1,
            markersize=10 if point.base is None else 6, markerfacecolor=colour if filled else "white",
            label=None if label in named else clean(label.replace("_", " "), 30), zorder=3,
        )  # fmt: skip
        named.add(label)
    axis.set_xlabel("test accuracy")
    axis.set_ylabel(part[0].strongest.headline.axis)
    axis.grid(color=FAINT, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
