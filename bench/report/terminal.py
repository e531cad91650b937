"""The lines of a run that matter, drawn in characters: of each setting the strongest attack and the strongest control, with intervals.

::

    lfw_faces    haim_kkt             ├────●───┤             +0.51 [+0.42, +0.61]
                 row_kmeans (control)    ├──○──┤             +0.56 [+0.47, +0.64]
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from bench.api import Headline
from bench.colour import Part
from bench.report.aggregate import aggregate
from bench.report.kit.groups import Group
from bench.report.kit.text import clean, of_headline, value_of

MOST = 4  # settings
NARROWEST, WIDEST = 20, 60  # characters of the axis
DRAWN = {"bar": "─", "ends": "├┤", "attack": "●", "control": "○", "chance": "┊"}
ASCII = {"bar": "-", "ends": "[]", "attack": "*", "control": "o", "chance": ":"}


def lines(scores: pd.DataFrame, images: pd.DataFrame | None, width: int, drawn: bool = True) -> list[list[Part]]:
    """The plot, a list of parts a line; nothing where no attack has scores.

    Args:
        width: characters of a line, at most.
        drawn: whether it may be drawn in more than ASCII.
    """
    settings: dict[tuple[str, ...], list[Group]] = {}
    for group in aggregate(scores, images):
        if group.excess is not None:
            settings.setdefault((group.track, group.section, str(group.axis_index), group.label), []).append(group)
    pairs = [pair for mine in settings.values() if (pair := _pair(mine)) and pair[0].role == "attack"]
    pairs.sort(key=lambda pair: -_estimate(pair[0]))
    return _plot(pairs[:MOST], len(pairs) - MOST, width, DRAWN if drawn else ASCII) if pairs else []


def _pair(groups: Sequence[Group]) -> list[Group]:
    """The strongest attack and the strongest control of a setting, as far as there are such."""
    sides = ([one for one in groups if one.role == role and not one.flagged] for role in ("attack", "control"))
    return [max(side, key=_estimate) for side in sides if side]


def _estimate(group: Group) -> float:
    return -math.inf if group.excess is None else group.excess.estimate


def _plot(pairs: Sequence[Sequence[Group]], more: int, width: int, signs: dict[str, str]) -> list[list[Part]]:
    headline = pairs[0][0].headline
    shown = [(clean(pair[0].label or pair[0].grid, 24), pair) for pair in pairs]
    left = max(len(label) for label, _ in shown)
    names = max(len(_name(group)) for pair in pairs for group in pair)
    values = max(len(_value(group)) for pair in pairs for group in pair)
    room = min(WIDEST, width - left - names - values - 7)
    if room < NARROWEST:
        return []
    low = min(
        [headline.chance, *(group.excess.low for pair in pairs for group in pair if group.excess and math.isfinite(group.excess.low))]
    )
    low = max(headline.low, math.floor(low * 10) / 10)
    result: list[list[Part]] = [[(f"{headline.words}, 95 % intervals: the strongest attack and the strongest control", "faint")]]
    for label, pair in shown:
        for place, group in enumerate(pair):
            first = label if not place else ""
            text = f"{_name(group):<{names}}"
            result.append(
                [(f"{first:<{left}}  ", ""), (text, group.role), ("  ", ""), *_drawn(group, headline, low, room, signs), ("  ", ""),
                 (_value(group), group.role)]
            )  # fmt: skip
    axis = f"{low:g}".replace("-", "−")
    result.append([(" " * (left + names + 4) + axis + f"{headline.high:g}".rjust(room - len(axis)), "faint")])
    if more > 0:
        result.append([(f"and {more} more {'setting' if more == 1 else 'settings'}, on the page", "faint")])
    return result


def _name(group: Group) -> str:
    return clean(group.name, 28) + (" (control)" if group.role == "control" else "")


def _value(group: Group) -> str:
    """The headline with its interval, if it has one."""
    assert group.excess is not None
    return of_headline(group) if math.isfinite(group.excess.low) else value_of(group, group.excess.estimate)


def _drawn(group: Group, headline: Headline, low: float, room: int, signs: dict[str, str]) -> list[Part]:
    """The interval of a line on the axis, chance marked."""
    assert group.excess is not None

    def at(value: float) -> int:
        share = (min(max(value, low), headline.high) - low) / (headline.high - low)
        return min(room - 1, round(share * (room - 1)))

    cells: list[Part] = [(" ", "")] * room
    cells[at(headline.chance)] = (signs["chance"], "faint")
    if math.isfinite(group.excess.low) and math.isfinite(group.excess.high):
        start, end = at(group.excess.low), at(group.excess.high)
        for k in range(start, end + 1):
            cells[k] = (signs["bar"], group.role)
        cells[start], cells[end] = (signs["ends"][0], group.role), (signs["ends"][1], group.role)
    cells[at(group.excess.estimate)] = (signs[group.role if group.role in signs else "attack"], group.role)
    return cells
