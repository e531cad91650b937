"""Whether a picture can be read: no two tick labels of an axis alike or in each other's way, no two panels of a name, no text cut off."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SLACK = 0.5  # pixels


@contextmanager
def watched() -> Iterator[list[str]]:
    """The faults of every figure that is saved meanwhile, as it was saved last; the figures are saved as they would be."""
    found: list[str] = []
    latest: dict[Figure, list[str]] = {}
    save = Figure.savefig

    def savefig(figure: Figure, *args: Any, **kwargs: Any) -> None:
        canvas = kwargs.get("bbox_inches") or Bbox.from_bounds(0, 0, *figure.get_size_inches())
        latest[figure] = faults(figure, canvas)
        found[:] = itertools.chain(*latest.values())
        save(figure, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield found


def faults(figure: Figure, canvas: Bbox) -> list[str]:
    """What cannot be read.

    Args:
        canvas: the part of the figure that is saved, in inches.
    """
    axes = [axis for axis in figure.axes if axis.get_visible()]
    name = next((text.get_text() for text in [*figure.texts, *itertools.chain(*(a.texts for a in axes))] if text.get_text()), "")
    ticked = [_drawn(axis) for a in axes for axis in (a.xaxis, a.yaxis)]
    found = []
    for labels in ticked:
        words = [label.get_text() for label in labels]
        found += [f"{name}: {count} ticks are labelled {word!r}" for word, count in Counter(words).items() if count > 1]
        boxes = [label.get_window_extent() for label in labels]
        pairs = zip(itertools.pairwise(words), itertools.pairwise(boxes), strict=True)
        found += [f"{name}: {a!r} and {b!r} overlap" for (a, b), (one, other) in pairs if _overlap(one, other)]
    titles = Counter(a.get_title(loc="left") for a in axes)
    found += [f"{name}: {count} panels are named {title!r}" for title, count in titles.items() if title and count > 1]
    ticks = [label for labels in ticked for label in labels]
    heads = [a.title for a in axes] + [a._left_title for a in axes]  # type: ignore[attr-defined]
    clash = ((head, tick) for head in heads if head.get_text() for tick in ticks)
    found += [
        f"{name}: {head.get_text()!r} and {tick.get_text()!r} overlap"
        for head, tick in clash
        if _overlap(head.get_window_extent(), tick.get_window_extent())
    ]
    page = Bbox(canvas.get_points() * figure.dpi)
    texts = [*_texts(figure), *ticks]
    legends = [(legend, "a legend") for legend in figure.findobj(Legend)]
    for artist, words in [*((text, text.get_text()) for text in texts), *legends]:
        box = artist.get_window_extent()
        beyond = max(page.x0 - box.x0, page.y0 - box.y0, box.x1 - page.x1, box.y1 - page.y1)
        if beyond > SLACK:
            found.append(f"{name}: {words!r} lies {beyond:.0f} pixels beyond the edge")
    return found


def _drawn(axis: Axis) -> list[Text]:
    """The labels of the ticks within an axis's limits."""
    if not axis.get_visible() or not axis.axes.axison:
        return []
    low, high = sorted(axis.get_view_interval())
    slack = 1e-9 * (high - low)
    ticks = [tick for tick in axis.get_major_ticks() if low - slack <= tick.get_loc() <= high + slack]
    return [tick.label1 for tick in ticks if tick.label1.get_visible() and tick.label1.get_text()]


def _texts(figure: Figure) -> list[Text]:
    """Texts that are seen, but for tick labels, whose ticks may lie outside the limits, and legends, which find their places when drawn."""
    hidden = {id(text) for legend in figure.findobj(Legend) for text in legend.findobj(Text)}
    for axes in figure.axes:
        hidden |= {id(text) for axis in (axes.xaxis, axes.yaxis) for text in axis.get_ticklabels(which="both")}
        if not axes.get_visible():
            hidden |= {id(text) for text in axes.findobj(Text)}
        elif not axes.axison:
            hidden |= {id(text) for axis in (axes.xaxis, axes.yaxis) for text in axis.findobj(Text)}
    return [text for text in figure.findobj(Text) if id(text) not in hidden and text.get_visible() and text.get_text().strip()]


def _overlap(one: Bbox, other: Bbox) -> bool:
    return min(one.x1, other.x1) - max(one.x0, other.x0) > SLACK and min(one.y1, other.y1) - max(one.y0, other.y0) > SLACK
