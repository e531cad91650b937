"""Why planted labels come along with a copy: three probes, each a table and a picture of a grid of the track stealing.

Near what the thief asked about? Where the owner's network is steep? Or does any network's gradient do, because the images decide? The
first two take planted inputs apart by quarters within each cell; the third sets lines beside each other that differ in the gradients alone.
Rows written before inputs had rows of their own have nothing to say here, and are left out.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from bench import seeds as streams
from bench.api import Section
from bench.metrics.intervals import Interval, means_over_seeds
from bench.report.kit import correlation, labels
from bench.report.kit.figures import COLOURS, MAX_PANELS, as_png, panel_titles, panels, styled
from bench.report.kit.groups import Group, axis_names, in_words
from bench.report.kit.page import Page
from bench.report.kit.rows import Side, by_cell
from bench.report.kit.text import NONE, attack_name, axis_heads, axis_labels, escape, general, interval, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOLD = {"query_labels": "labels", "queries": "logits", "input_gradients": "gradients"}  # tier → what the thief is told, the most last
PLAIN = {"model": "same", "source": "held_out", "smooth": 0, "jacobian": "random"}  # hyperparameters of a thief that probes nothing
OTHERS_GRADIENTS = "steal_clean_gradients"
CLEAN = "clean networks"
QUARTERS = 4


@dataclass(frozen=True)
class Probe:
    """A number of each planted input by which they are taken apart."""

    column: str  # of the table of images
    title: str
    text: tuple[str, ...]
    label: str  # of the picture's axis
    ends: tuple[str, str]  # names of the first and the last quarter


DISTANCE = Probe(
    "query_distance",
    "Near the questions?",
    (
        "Planted inputs by their distance to the nearest image that the oracle was asked about, root mean squared over pixels in [0, 1].",
        "If copies were true near the questions alone, the nearest inputs would bring their labels along, and the farthest not.",
    ),
    "distance to the nearest question",
    ("nearest", "farthest"),
)
STEEPNESS = Probe(
    "gradient_norm",
    "Where the owner is steep?",
    (
        "Planted inputs by how steep the owner's network is there: the Euclidean norm of the gradient, by the image, of the planted",
        "label's output minus the largest other one.",
    ),
    "norm of the owner's gradient at the input",
    ("flattest", "steepest"),
)
PROBES = (DISTANCE, STEEPNESS)
GRADIENTS = "whose_gradients"  # the third picture's kind, beside the columns of the other two


def told(group: Group) -> str:
    """The most telling kind of answer that a line gets, as in `TOLD`; empty if none."""
    return next((word for tier, word in reversed(TOLD.items()) if tier in group.access.split("+")), "")


def _has(group: Group, **wanted: object) -> bool:
    """Whether a line's hyperparameters are these; one that it does not have is no obstacle."""
    return all(group.hyperparameters.get(name, value) == value for name, value in wanted.items())


Setting = tuple[int, str]


def settings_of(groups: Sequence[Group]) -> dict[Setting, list[Group]]:
    found: dict[Setting, list[Group]] = {}
    for group in groups:
        if group.excess is not None:
            found.setdefault((group.axis_index, group.label), []).append(group)
    return found


def plain(groups: Sequence[Group]) -> dict[str, Group]:
    """Of one setting the strongest plain line for each kind of answer."""
    found: dict[str, Group] = {}
    for word in TOLD.values():
        mine = [g for g in groups if g.role == "attack" and g.excess is not None and told(g) == word and _has(g, **PLAIN)]
        if mine:
            found[word] = max(mine, key=lambda g: g.excess.estimate if g.excess is not None else 0.0)
    return found


# --- planted inputs by quarters ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Binned:
    """Planted inputs of one line by quarters of a number, within each cell."""

    values: list[np.ndarray]  # the number, an array a seed
    transferred: list[np.ndarray]  # 0 or 1; of clean networks their share
    name: tuple[str, ...]  # of the random stream

    def at(self, quarter: int) -> tuple[float, Interval] | None:
        """Mean of the number, and mean over seeds of the share that came along with its interval; None: a quarter without any."""
        masks = [correlation.quarter(x) == quarter for x in self.values]
        parts = [(x[mask], hit[mask]) for x, hit, mask in zip(self.values, self.transferred, masks, strict=True) if mask.any()]
        if not parts:
            return None
        share = _share(tuple(tuple(hit.tolist()) for _, hit in parts), (*self.name, str(quarter)))
        return float(np.mean([x.mean() for x, _ in parts])), share

    def rank_correlation(self) -> str:
        """Spearman's ρ of the number and of coming along, mean over seeds."""
        return correlation.shown([correlation.spearman(x, hit) for x, hit in zip(self.values, self.transferred, strict=True)])


@functools.lru_cache(maxsize=512)  # a page shows what its pictures show
def _share(hits: tuple[tuple[float, ...], ...], name: tuple[str, ...]) -> Interval:
    """Mean over seeds with its interval over seeds and inputs, from the random stream of that name."""
    return means_over_seeds([np.array(hit) for hit in hits], streams.numpy_generator("report", "probes", *name))


Parts = Mapping[str, Side]  # by cell its planted inputs


def _members(images: pd.DataFrame) -> Parts:
    known = by_cell(images, ("transferred", "clean_rate", *(probe.column for probe in PROBES)), known="transferred")
    return {cell: members for cell, (members, _) in known.items() if len(members["transferred"])}


def binned(groups: Sequence[Group], parts: Parts, column: str) -> dict[str, Binned]:
    """Of one setting the plain line for each kind of answer, and the clean networks on the same inputs in the same quarters.

    Args:
        parts: of each cell its planted inputs.
    """
    found: dict[str, Binned] = {}
    for word, group in plain(groups).items():
        known = [parts[cell] for _, cell in sorted(group.cell_ids.items()) if cell in parts]
        cells = [{name: values[~np.isnan(part[column])] for name, values in part.items()} for part in known]
        cells = [part for part in cells if len(part[column]) >= QUARTERS]
        if not cells:
            continue
        values = [part[column] for part in cells]
        name = (group.grid, group.section, group.label, column)
        found[word] = Binned(values, [part["transferred"] for part in cells], (*name, group.name))
        if not any(np.isnan(part["clean_rate"]).any() for part in cells):  # of the line that is told most, which comes last
            found[CLEAN] = Binned(values, [part["clean_rate"] for part in cells], (*name, CLEAN))
    if CLEAN in found:
        found[CLEAN] = found.pop(CLEAN)  # below the thieves
    return found


def _per_cent(value: Interval) -> str:
    return f"{100 * value.estimate:.0f} % [{100 * value.low:.0f}, {100 * value.high:.0f}]"


def _by_quarters(probe: Probe, settings: Mapping[Setting, list[Group]], parts: Parts, names: Sequence[str]) -> list[str]:
    rows = []
    for groups in settings.values():
        for word, one in binned(groups, parts, probe.column).items():
            ends = [one.at(q) for q in range(QUARTERS)]
            cells = [NONE if end is None else f"{_per_cent(end[1])}<br>at {general(end[0])}" for end in ends]
            told_of = f"*{word}* (control)" if word == CLEAN else word
            rows.append([*axis_labels(groups[0], names), told_of, *cells, one.rank_correlation(), str(len(one.values))])
    if not rows:
        return []
    quarters = [f"{probe.ends[0]} quarter", "second", "third", f"{probe.ends[1]} quarter"]
    head = [*axis_heads(names), "thief is told", *quarters, "rank correlation", "seeds"]
    return table(head, rows, right=range(len(head) - 2, len(head)))


def _by_source(settings: Mapping[Setting, list[Group]], parts: Parts, names: Sequence[str]) -> list[str]:
    """Lines that differ in what they ask about: how far from the planted inputs that is, and what comes along."""
    rest = {name: value for name, value in PLAIN.items() if name != "source"}
    rows = []
    for groups in settings.values():
        mine = []
        for group in groups:
            cells = [parts[cell] for cell in group.cell_ids.values() if cell in parts and not np.isnan(parts[cell]["query_distance"]).any()]
            if group.role == "attack" and _has(group, **rest) and cells:
                mine.append((float(np.mean([part["query_distance"].mean() for part in cells])), group))
        if len({group.hyperparameters.get("source") for _, group in mine}) < 2:
            continue
        for far, group in sorted(mine, key=lambda pair: (pair[0], pair[1].name)):
            assert group.members is not None
            where = [*axis_labels(group, names), attack_name(group), str(group.hyperparameters.get("source", NONE)).replace("_", " ")]
            rows.append([*where, general(far), _per_cent(group.members), interval(group.excess)])
    if not rows:
        return []
    head = [*axis_heads(names), "attack", "asks about", "mean distance", "planted labels [95 % CI]",
            "minus clean networks [95 % CI]"]  # fmt: skip
    return ["By what is asked about, the nearest first:", "", *table(head, rows, right=range(len(head) - 3, len(head))), ""]


# --- whose gradients --------------------------------------------------------------------------------------------------------------------


def by_gradients(groups: Sequence[Group]) -> dict[str, Group]:
    """Of one setting the lines that differ in the gradients alone, by whose they are; none where there is nothing beside the owner's."""
    lines = plain(groups)
    found: dict[str, Group] = {}
    probing = False
    if "logits" in lines:
        found["none, outputs alone"] = lines["logits"]
    rest = {name: value for name, value in PLAIN.items() if name != "smooth"}
    for group in groups:
        if group.attack == OTHERS_GRADIENTS and _has(group, **PLAIN):
            found["a clean network's"] = group
            probing = True
    smoothed = [g for g in groups if g.role == "attack" and g.hyperparameters.get("smooth") and _has(g, **rest)]
    for group in sorted(smoothed, key=lambda g: (g.hyperparameters["smooth"], g.hyperparameters.get("smooth_noise", 0), g.name)):
        found[f"the owner's, mean of {group.hyperparameters['smooth']} at σ {group.hyperparameters.get('smooth_noise')}"] = group
        probing = True
    if "gradients" in lines:
        found["the owner's"] = lines["gradients"]
    return found if probing and len(found) > 1 else {}


def paired(a: Group, b: Group, numbers: Mapping[str, float]) -> list[float]:
    """A number of each cell: that of the one line less that of the other, for the seeds that both have."""
    both = sorted(set(a.cell_ids) & set(b.cell_ids))
    return [numbers[a.cell_ids[seed]] - numbers[b.cell_ids[seed]] for seed in both]


def _whose(settings: Mapping[Setting, list[Group]], transfer: Mapping[str, float], names: Sequence[str]) -> tuple[list[str], list[str]]:
    """A verdict for each setting that has one, and the table."""
    verdicts, rows = [], []
    for groups in settings.values():
        lines = by_gradients(groups)
        none, others, own = (lines.get(name) for name in ("none, outputs alone", "a clean network's", "the owner's"))
        if none is not None and others is not None and own is not None:
            word = _explained(paired(own, none, transfer), paired(others, none, transfer), paired(own, others, transfer))
            verdicts.append(f"- {escape(in_words(own.axis, names)) or 'all'}: {word}.")
        for whose, group in lines.items():
            assert group.members is not None
            beyond = NONE if none is None or group is none else correlation.shown(list(paired(group, none, transfer)))
            rows.append(
                [
                    *axis_labels(group, names),
                    f"*{escape(whose)}* (control)" if group.role == "control" else escape(whose),
                    _per_cent(group.members),
                    interval(group.excess),
                    beyond,
                    str(len(group.cell_ids)),
                ]
            )
    if not rows:
        return [], []
    head = [*axis_heads(names), "gradients", "planted labels [95 % CI]", "minus clean networks [95 % CI]",
            "minus outputs alone [95 % CI]", "seeds"]  # fmt: skip
    return verdicts, table(head, rows, right=range(len(head) - 4, len(head)))


def _explained(own: Sequence[float], others: Sequence[float], between: Sequence[float]) -> str:
    """What a clean network's gradients say of why the owner's help.

    Args:
        own, others: planted labels by the owner's and by a clean network's gradients, beyond those by outputs alone, seed by seed.
        between: by the owner's beyond those by the clean network's.
    """
    gained, carried, beyond = (correlation.apart(list(values)) for values in (own, others, between))
    if gained is None or carried is None or beyond is None:
        return "not to be told with fewer than two seeds"
    if gained <= 0:
        return f"the owner's gradients bring {_more(gained)} than outputs alone, so there is nothing to explain"
    if carried <= 0:
        start = f"a clean network's gradients bring {_more(carried)} than outputs alone"
        if beyond > 0:
            return f"{start}, and less than the owner's: geometry alone **does not explain** what the owner's bring"
        return f"{start}, and not clearly less than the owner's: inconclusive"
    if beyond > 0:
        return "a clean network's gradients bring something, the owner's more: geometry alone **explains a part**"
    return "a clean network's gradients bring something, and the owner's not clearly more: geometry alone **may explain it**"


def _more(apart: int) -> str:
    return "less" if apart < 0 else "not clearly more"


# --- the page ---------------------------------------------------------------------------------------------------------------------------


def section(groups: Sequence[Group], rows: pd.DataFrame, images: pd.DataFrame, pictures: Mapping[str, str]) -> list[str]:
    """The lines of a page for the groups of one section; none where rows have nothing to say of the mechanism.

    Args:
        rows: score rows of the grid.
        images: image rows of the grid.
        pictures: kind of picture → path, of those that belong here.
    """
    settings, parts = settings_of(groups), _members(images)
    names = axis_names(groups) if any(group.axis for group in groups) else []
    lines: list[str] = []
    for probe in PROBES:
        found = _by_quarters(probe, settings, parts, names)
        if found:
            picture = _picture(pictures, probe.column, f"Planted labels against {probe.label}")
            lines += [f"#### {probe.title}", "", *probe.text, "", *picture, *found, ""]
            lines += _by_source(settings, parts, names) if probe is DISTANCE else []
    transfer = rows.drop_duplicates("cell_id").set_index("cell_id")["planted_transfer"].to_dict()
    verdicts, found = _whose(settings, transfer, names)
    if found:
        lines += [
            "#### Whose gradients?", "",
            "Thieves that differ in the gradients alone: none, those of a clean network at the images that the owner was asked about,",
            "the owner's averaged over perturbed copies of each image, and the owner's. Differences are paired by seed, with Student's t",
            "interval.",
            "", *verdicts, *([""] if verdicts else []), *_picture(pictures, GRADIENTS, "Planted labels by whose gradients"), *found, "",
        ]  # fmt: skip
    if not lines:
        return []
    text = [
        "Each kind of answer is shown by the strongest line whose questions are held-out images and whose architecture is the owner's.",
        "Shares are means over seeds, with 95 % intervals over seeds and planted inputs; quarters and rank correlations",
        "(Spearman, mean over seeds with Student's t interval) are taken within each cell. **Clean networks** on the same inputs say how",
        "much of a slope is in the images.",
    ]
    return ["### Mechanism", "", *text, "", *lines]


def _picture(pictures: Mapping[str, str], kind: str, words: str) -> list[str]:
    return [f"![{words}]({pictures[kind]})", ""] if kind in pictures else []


# --- the pictures -----------------------------------------------------------------------------------------------------------------------


def figures(groups: Sequence[Group], images: pd.DataFrame, title: str) -> dict[str, bytes | None]:
    """The pictures by kind; None where there is nothing to draw."""
    settings = list(settings_of(groups).values())
    parts = _members(images) if settings else {}
    found: dict[str, bytes | None] = {probe.column: _quarters_figure(probe, settings, parts, title) for probe in PROBES}
    return {**found, GRADIENTS: _gradients_figure(settings, title)}


@styled
def _quarters_figure(probe: Probe, settings: Sequence[list[Group]], parts: Parts, title: str) -> bytes | None:
    """Shares that came along against the number, a panel a setting."""
    shown = [(groups, found) for groups in settings if (found := binned(groups, parts, probe.column))][:MAX_PANELS]
    if not shown:
        return None
    picture, axes = panels(panel_titles([groups[0] for groups, _ in shown], attacks=False), f"{title}: planted labels that came along")
    looks = {word: (COLOURS[i], "o", "-") for i, word in enumerate(TOLD.values())} | {CLEAN: ("#8a8a8a", "s", (0, (4, 2)))}
    for axis, (_, found) in zip(axes.flat, shown, strict=False):
        points = {word: [end for q in range(QUARTERS) if (end := one.at(q)) is not None] for word, one in found.items()}
        places = [x for ends in points.values() for x, _ in ends]
        aside = 0.012 * (max(places) - min(places))  # so that bars at one place stand beside each other
        for i, (word, ends) in enumerate(points.items()):
            colour, mark, line = looks[word]
            shares = [share for _, share in ends]
            x = [place + (i - (len(points) - 1) / 2) * aside for place, _ in ends]
            axis.errorbar(
                x, [share.estimate for share in shares], yerr=_bars(shares), color=colour, marker=mark, markersize=4.5, linestyle=line,
                linewidth=1.4, elinewidth=1.1, capsize=2.5, label=word,
            )  # fmt: skip
        axis.set_xlabel(probe.label)
        axis.set_ylim(-0.04, 1.04)
    for axis in axes[:, 0]:
        axis.set_ylabel("share of planted labels")
    handles = {label: handle for axis in axes.flat for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    ordered = [word for word in looks if word in handles]
    picture.legend(
        [handles[word] for word in ordered], ordered, loc="upper left", bbox_to_anchor=_under_title(picture), ncols=2, frameon=False,
        fontsize=8.5,
    )  # fmt: skip
    return as_png(picture)


def _under_title(picture: Figure) -> tuple[float, float]:
    """The upper left corner of the room that `panels` leaves for a legend."""
    return 0.0, 1 - 0.22 / picture.get_figheight()


@styled
def _gradients_figure(settings: Sequence[list[Group]], title: str) -> bytes | None:
    """A row for each kind of gradients, a panel a setting."""
    shown = [found for groups in settings if (found := by_gradients(groups))][:MAX_PANELS]
    if not shown:
        return None
    every = list(dict.fromkeys(whose for found in shown for whose in _reading_order(found)))
    titles = panel_titles([next(iter(found.values())) for found in shown], attacks=False)
    picture, axes = panels(titles, f"{title}: whose gradients?")
    for axis, found in zip(axes.flat, shown, strict=False):
        for whose, group in found.items():
            assert group.members is not None
            share, control = group.members, group.role == "control"
            axis.errorbar(
                share.estimate, every.index(whose), xerr=_bars([share]), color="#8a8a8a" if control else COLOURS[0],
                marker="s" if control else "o", markersize=5.5, linewidth=1.6, capsize=3,
            )  # fmt: skip
        last = next(reversed(found.values()))
        assert last.controls is not None
        axis.axvline(last.controls.estimate, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axis.set_yticks(range(len(every)), labels.distinct(every))
        axis.set_ylim(len(every) - 0.5, -0.5)
        axis.set_xlim(-0.02, 1.02)
        axis.set_xlabel("share of planted labels")
    x, y = _under_title(picture)
    picture.text(x + 0.01, y - 0.01, "dashed: clean networks; grey: a control", va="top", fontsize=8.5, color="#555555")
    return as_png(picture)


def _reading_order(found: Iterable[str]) -> list[str]:
    """The owner's last, so that a kind that some settings lack does not come after it."""
    return sorted(found, key=lambda whose: whose == "the owner's")


def _bars(shares: Sequence[Interval]) -> np.ndarray:
    """Lengths of the two arms of error bars, 2 × n."""
    ends = [(share.estimate - share.low, share.high - share.estimate) for share in shares]
    return np.clip(np.array(ends).T, 0, None)


class Mechanism(Section):
    """See the module."""

    name: ClassVar[str] = "mechanism"
    pictures: ClassVar[tuple[str, ...]] = ("query_distance", "gradient_norm", "whose_gradients")

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return section(page.groups, page.rows, page.images, page.figures)

    def figures(self, page: Page) -> dict[str, bytes | None]:
        """See Section."""
        return figures(page.groups, page.images, page.title)
