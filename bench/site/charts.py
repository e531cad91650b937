"""Plots that answer to the mouse, as Vega-Lite. A kind of plot is written once, with ``@name@`` for what each plot of a page has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.report.kit.groups import Group, axis_names
from bench.report.kit.text import clean, hits, interval
from bench.report.kit.transplants import FLAG

COLOURS = ("#3b82c4", "#d1495b", "#2e9e63", "#9b6bb0", "#e08e0b", "#0f9aa0", "#a8673d", "#6d7ff0")
GREYS = ("#8a8a8a", "#a9a9a9", "#747474", "#bcbcbc")
SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross")
MOST = 6  # plots of one page
NOTE = {"aria": False}  # the table below the plot says the same to whoever cannot see it

Spec = dict[str, Any]
EACH: Spec = {
    "data": {"values": ["@values@"]},
    "width": "container",
    "background": None,
    "autosize": {"type": "fit-x", "contains": "padding"},
}


_NAMED: Spec = {"field": "a", "type": "nominal", "sort": None}
_LEGEND: Spec = {"title": None, "orient": "bottom", "columns": {"signal": "max(1, floor(width / 220))"}, "labelLimit": 210}
_SHAPE: Spec = {**_NAMED, "scale": {"domain": ["@names@"], "range": ["@shapes@"]}, "legend": _LEGEND}
_SCALES: Spec = {
    "color": {**_NAMED, "scale": {"domain": ["@names@"], "range": ["@colours@"]}, "legend": _LEGEND},
    "opacity": {"condition": {"param": "chosen", "value": 1}, "value": 0.12},
}
_CHOSEN = [{"name": "chosen", "select": {"type": "point", "fields": ["a"]}, "bind": "legend"}]
_Y = {"type": "quantitative", "title": "@y@", "scale": {"zero": False}}

KINDS: dict[str, Spec] = {
    "intervals": {
        **EACH,
        "height": 260,
        "params": [{"name": "angle", "value": "@angle@"}],
        "encoding": {
            "x": {
                "field": "x",
                "type": "ordinal",
                "sort": None,
                "title": "@x@",
                "axis": {"labelAngle": {"expr": "angle"}, "labelLimit": 150},
            },
            "xOffset": {"field": "a", "type": "nominal", "sort": None, "scale": {"domain": ["@names@"]}},
            **_SCALES,
        },
        "layer": [
            {
                "params": _CHOSEN,
                "mark": {"type": "rule", "strokeWidth": 1.6, **NOTE},
                "encoding": {"y": {"field": "lo", **_Y}, "y2": {"field": "hi"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 55, **NOTE},
                "encoding": {"y": {"field": "e", **_Y}, "tooltip": {"field": "t"}, "shape": _SHAPE},
            },
        ],
    },
    "leads": {
        **EACH,
        "height": "@height@",
        "encoding": {"y": {"field": "a", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 170}}},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2.4, "color": COLOURS[0], **NOTE},
                "encoding": {"x": {"field": "lo", "type": "quantitative", "title": "@x@"}, "x2": {"field": "hi"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 70, "color": COLOURS[0], **NOTE},
                "encoding": {"x": {"field": "e", "type": "quantitative"}, "tooltip": {"field": "t"}},
            },
            {
                "mark": {"type": "tick", "thickness": 2.5, "color": GREYS[0], **NOTE},
                "encoding": {"x": {"field": "c", "type": "quantitative"}, "tooltip": {"field": "tc"}},
            },
        ],
    },
    "pairs": {
        **EACH,
        "height": 340,
        "layer": [
            {
                "data": {"values": [{"u": -0.1, "v": -0.1}, {"u": 1, "v": 1}]},
                "mark": {"type": "line", "color": GREYS[1], "strokeDash": [4, 3], **NOTE},
                "encoding": {"x": {"field": "u", "type": "quantitative"}, "y": {"field": "v", "type": "quantitative"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "color": COLOURS[0], "opacity": 0.75, **NOTE},
                "encoding": {
                    "x": {"field": "x", "type": "quantitative", "title": "@x@", "scale": {"domain": [-0.1, 1]}},
                    "y": {"field": "y", "type": "quantitative", "title": "@y@", "scale": {"domain": [-0.1, 1]}},
                    "tooltip": {"field": "t"},
                },
            },
        ],
    },
    "frontier": {
        **EACH,
        "height": 340,
        "encoding": {"x": {"field": "x", "type": "quantitative", "title": "@x@", "scale": {"zero": False}}, **_SCALES},
        "layer": [
            {
                "params": _CHOSEN,
                "mark": {"type": "rule", "strokeWidth": 1.4, **NOTE},
                "encoding": {"y": {"field": "lo", **_Y}, "y2": {"field": "hi"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 75, **NOTE},
                "encoding": {"y": {"field": "e", **_Y}, "tooltip": {"field": "t"}, "shape": _SHAPE},
            },
        ],
    },
}


def looks(names: Sequence[tuple[str, bool]]) -> Spec:
    """Colours and shapes of lines by name, of which some stand behind in grey, in the order of the legend."""
    ordered = sorted(names, key=lambda pair: pair[1])
    colours, places = [], {True: 0, False: 0}
    for _, behind in ordered:
        palette = GREYS if behind else COLOURS
        colours.append(palette[places[behind] % len(palette)])
        places[behind] += 1
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(ordered))]
    return {"names": [name for name, _ in ordered], "colours": colours, "shapes": shapes}


def intervals(groups: Sequence[Group], title: str) -> list[Spec]:
    """Of a grid's lines the headline against the axis, a plot for each of its parts, as the picture of its page has them."""
    parts: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        if group.excess:
            parts.setdefault((group.section, group.headline.words), []).append(group)
    return [_intervals(mine, section or title) for (section, _), mine in list(parts.items())[:MOST]]


def _intervals(groups: Sequence[Group], title: str) -> Spec:
    names = axis_names(groups)
    called = {group.name: _called(group) for group in groups}
    values = []
    for group in groups:
        assert group.excess is not None
        estimate, low, high = (round(value, 4) for value in group.excess)
        setting = clean(", ".join(group.axis.get(name, "") for name in names), 60) or "all"
        values.append({"x": setting, "a": called[group.name], "e": estimate, "lo": low, "hi": high, "m": _more(group)})
    headline = groups[0].headline
    found = looks(list(dict.fromkeys((called[group.name], group.role == "control" or group.flagged) for group in groups)))
    return {
        "kind": "intervals",
        "title": clean(title, 80),
        "x": clean(", ".join(names).replace("_", " "), 60) or "setting",
        "y": clean(headline.axis, 90),
        "words": headline.words,
        "values": values,
        **found,
    }


def _called(group: Group) -> str:
    return clean(group.name, 60) + (" (control)" if group.role == "control" else f" ({FLAG})" if group.flagged else "")


def _more(group: Group) -> str:
    """What the plot itself does not show."""
    lines = [] if group.lead is None else [f"minus strongest control {interval(group.lead)}"]
    if "members" in group.hits:
        lines.append(f"members {hits(group.hits['members'])}, controls {hits(group.hits.get('controls'))}")
    return "\n".join(lines)


def leads(lines: Sequence[Mapping[str, Any]], title: str, axis: str) -> Spec:
    """What attacks get where they are furthest ahead, beside the strongest control there."""
    return {"kind": "leads", "title": title, "x": axis, "y": "", "height": 24 * len(lines), "values": list(lines)}
