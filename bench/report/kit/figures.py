"""The pictures: what ranks the lines along a grid's axis, and what other pictures are drawn with.

Drawn without pyplot's global state and saved without metadata, so that the same rows give the same bytes.
"""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from bench.report.kit import labels
from bench.report.kit.canvas import matplotlib
from bench.report.kit.groups import Group, axis_names, in_words
from bench.report.kit.text import clean
from bench.report.kit.transplants import FLAG

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
Tile = tuple[
    Any, float, float, float
]  # a thumbnail as PNG (grey if broken), left, top and side, in inches from a figure's upper left corner

COLOURS = ("#0b62a4", "#d1495b", "#2e8b57", "#8e5ea2", "#e08e0b", "#00868b", "#7a4b2a", "#5b6ee1")
GREYS = ("#8a8a8a", "#b0b0b0", "#6a6a6a", "#c4c4c4")
MARKS = ("o", "s", "D", "^", "v", "P", "X", "<")
DASHES = ((0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
INK, FAINT = "#222222", "#e3e3e3"
SIZE = 9.0  # points
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": SIZE,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": INK,
    "axes.titlesize": 10.0,
    "axes.titley": 1.0,  # no looking for ticks above the axes, of which there are none
    "axes.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,  # names from plug-ins may hold dollar signs
    "axes.formatter.useoffset": False,
}
MAX_PANELS = 6
PANEL = 46  # characters in a line of a panel's title
MAX_TICKS = 24
CHARACTER = 0.078  # inches across a character of STYLE's size, on average
LINE = 0.15  # inches from a line to the next
UPRIGHT = 24  # characters in a line of a tick label that stands upright
LINES = 5  # of a tick label that does not
DPI = 130
PAD = 16  # pixels of white around what is drawn
ROOM = (65, 65, 390, 195)  # pixels that are drawn left, above, right and below of a figure at first, for what reaches out of it


def styled(draw: Callable[P, bytes | None]) -> Callable[P, bytes | None]:
    """Runs a drawing under STYLE on matplotlib's defaults, whatever this machine's settings are, and leaves those as they were."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> bytes | None:
        mpl = matplotlib()
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            return draw(*args, **kwargs)

    return wrapper


@styled
def excess(groups: Sequence[Group], title: str) -> bytes | None:
    """PNG of the groups' headline, one for all, against the axis, a panel a section: dots with intervals, controls dashed and grey.

    None: nothing to draw.
    """
    panels = [(name, mine) for name, mine in _panels(groups) if any(g.excess for g in mine)][:MAX_PANELS]
    if not panels:
        return None
    most = max(len({(g.axis_index, g.label) for g in mine}) for _, mine in panels)
    figure = new_figure(max(5.6, min(10.0, 2.6 + 0.8 * most)) + 1.9, 3.4 * len(panels) + 0.35)
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    colour = _colours(groups)
    below = 0.0  # inches that tick labels of more than a line take
    for axis, (name, mine) in zip(axes, panels, strict=True):
        below = max(below, _draw_excess(axis, mine, colour))
        axis.set_title(clean(name or title, 80), loc="left", fontweight="bold")
        handles, names = axis.get_legend_handles_labels()
        axis.legend(handles, names, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8.5)
    if len(panels) > 1 and below:  # the next panel makes room for them
        part, gap = figure.subplotpars, len(panels) - 1
        panel = axes[0].get_position().height * figure.get_figheight()
        figure.set_figheight(figure.get_figheight() + gap * below / (part.top - part.bottom))
        figure.subplots_adjust(hspace=part.hspace + below / panel)
    if any(name for name, _ in panels):
        figure.suptitle(clean(title, 80), x=0.01, ha="left", fontweight="bold", fontsize=11)
    return as_png(figure)


def _panels(groups: Sequence[Group]) -> list[tuple[str, list[Group]]]:
    panels: dict[str, list[Group]] = {}
    for group in groups:
        panels.setdefault(group.section, []).append(group)
    return list(panels.items())


def _colours(groups: Sequence[Group]) -> dict[str, dict[str, Any]]:
    """One look per attack; the same in every panel. Controls are grey, and behind them flagged attacks."""
    looks: dict[str, dict[str, Any]] = {}
    for role, palette in (("attack", COLOURS), ("control", GREYS)):
        names = sorted({(group.flagged, group.name) for group in groups if _behind(group) == (role == "control")})
        for i, (_, name) in enumerate(names):
            mark = MARKS[(i + i // len(palette)) % len(MARKS)]  # a colour that comes again has another mark
            looks[name] = {"color": palette[i % len(palette)], "marker": mark}
            looks[name]["linestyle"] = DASHES[i % len(DASHES)] if role == "control" else "-"
    return looks


def _behind(group: Group) -> bool:
    """Whether it is no attack that counts."""
    return group.role == "control" or group.flagged


def _draw_excess(axis: Axes, groups: Sequence[Group], looks: dict[str, dict[str, Any]]) -> float:
    """Draws one panel; returns what `_label_ticks` returns."""
    ticks = list(dict.fromkeys((group.axis_index, group.label) for group in groups))
    place = {tick: i for i, tick in enumerate(ticks)}
    ordered = all(is_number(label) for _, label in ticks) and len(ticks) > 1
    names = [name for name in looks if any(g.name == name and g.excess for g in groups)]
    short = dict(zip(looks, labels.distinct(list(looks), 80), strict=True))
    headline = groups[0].headline
    axis.axhline(headline.chance, color="#999999", linewidth=0.8, zorder=1)
    for i, name in enumerate(names):
        mine = [group for group in groups if group.name == name and group.excess]
        shift = (i - (len(names) - 1) / 2) * min(0.09, 0.6 / max(len(names), 1))
        x = [place[group.axis_index, group.label] + shift for group in mine]
        middle = [group.excess.estimate for group in mine if group.excess]
        low = [group.excess.estimate - group.excess.low for group in mine if group.excess]
        high = [group.excess.high - group.excess.estimate for group in mine if group.excess]
        control, flagged = _behind(mine[0]), mine[0].flagged
        look = looks[name]
        label = f"{short[name]} ({FLAG})" if flagged else f"{short[name]} (control)" if control else short[name]
        line = look["linestyle"] if ordered else "none"
        axis.errorbar(
            x, middle, yerr=np.clip([low, high], 0, None), color=look["color"], marker=look["marker"], markersize=4.5 if control else 6,
            linestyle=line, linewidth=1.1 if control else 1.7, elinewidth=1.1 if control else 1.5, capsize=2.5, label=label,
            zorder=2 if control else 3,
        )  # fmt: skip
        partial = [(px, py) for px, py, group in zip(x, middle, mine, strict=True) if group.ok < group.cells]
        if partial:  # hollow: some cells have no scores
            axis.plot(*zip(*partial, strict=True), linestyle="none", marker=look["marker"], markersize=3.5, color="white", zorder=4)
    every = -(-len(ticks) // MAX_TICKS)
    varied = axis_names(groups)
    points = {(group.axis_index, group.label): [group.axis.get(name, "") for name in varied] for group in groups}
    below = _label_ticks(axis, range(0, len(ticks), every), [points[tick] for tick in ticks[::every]])
    for i, (left, right) in enumerate(itertools.pairwise(points[tick] for tick in ticks)):
        if left[:-1] != right[:-1]:  # from here on an outer axis has another value
            axis.axvline(i + 0.5, color=FAINT, linewidth=0.8, zorder=0)
    axis.set_xlim(-0.5, len(ticks) - 0.5)
    axis.set_xlabel(clean(", ".join(varied[::-1]).replace("_", " "), 80) or "setting")
    axis.set_ylabel(headline.axis)
    ends = [end for group in groups if group.excess for end in (group.excess.low, group.excess.high)]
    top = max(headline.chance + 0.5, min(headline.high + 0.05, max(ends) + 0.06))
    axis.set_ylim(min(headline.chance - 0.1, min(ends) - 0.05), top)
    axis.grid(axis="y", color=FAINT, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    return below


def _label_ticks(axis: Axes, positions: Sequence[int], points: Sequence[Sequence[str]]) -> float:
    """Labels under the ticks, on as many lines as they take; upright where even a word does not fit beside the next.

    Returns:
        how far they reach down, in inches, beyond labels of one line.
    """
    figure = axis.get_figure(root=True)
    assert figure is not None
    room = axis.get_position().width * figure.get_figwidth() / len(positions) - 0.08  # inches a tick
    width = int(room / CHARACTER)
    found = labels.ticks(points, max(1, width))
    if labels.widest(found) <= width and labels.tallest(found) <= LINES:
        axis.set_xticks(positions, found)
        return LINE * (labels.tallest(found) - 1)
    narrow, wide = labels.ticks(points, UPRIGHT), labels.ticks(points, labels.LIMIT)
    found = narrow if labels.tallest(narrow) * LINE <= room else wide
    size = min(1.0, room / (labels.tallest(found) * LINE)) * SIZE
    axis.set_xticks(positions, found, rotation=90, multialignment="right", fontsize=size)
    return CHARACTER * labels.widest(found)


def is_number(text: str) -> bool:
    """Whether a label is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def strongest(groups: Sequence[Group]) -> list[Group]:
    """Of each setting the first group, which is the strongest; flagged attacks aside; at most as many as a picture has panels."""
    places = {(group.section, group.axis_index, group.label): group for group in reversed(groups) if not group.flagged}
    return [group for group in groups if places.get((group.section, group.axis_index, group.label)) is group][:MAX_PANELS]


def panels(titles: Sequence[str], title: str, right: float = 0.2) -> tuple[Figure, np.ndarray]:
    """A figure under a title, and its axes, row by row, for panels of one size; ``right`` inches stay free beside them."""
    count, over = len(titles), LINE * max(0, labels.tallest(titles) - 2)  # inches that titles of more than two lines take
    across = min(count, 2 if count in (2, 4) else 3)
    down = -(-count // across)
    width, height = 3.4 * across + 0.7 + right, (3.05 + over) * down + 0.7
    figure = new_figure(width, height)
    axes = figure.subplots(down, across, squeeze=False, sharey=True)
    figure.subplots_adjust(
        left=0.7 / width, right=1 - right / width, bottom=0.5 / height, top=1 - (0.95 + over) / height, hspace=0.5 + over / 2, wspace=0.1
    )
    figure.suptitle(clean(title, max(60, 40 * across)), x=0.01, y=1.0, ha="left", va="top", fontweight="bold", fontsize=11)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    for axis, text in zip(axes.flat, titles, strict=False):
        axis.set_title(text, loc="left", fontsize=9, fontweight="bold")
        axis.grid(color=FAINT, linewidth=0.7)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def panel_titles(groups: Sequence[Group], *, attacks: bool = True) -> list[str]:
    """For each panel its setting, by the axes along which the panels differ, and under it the attack; no two alike."""
    names = axis_names(groups)
    parts = [labels.short([in_words(group.axis, names) or group.section for group in groups])]
    if attacks:
        parts.append(labels.short([group.name for group in groups]))
    return labels.apart(["\n".join(line for part in one for line in labels.lines(part, PANEL)) for one in zip(*parts, strict=True)])


def tile(axis: Axes, png: Any, left: float, top: float) -> None:
    """Draws a thumbnail into the unit square whose upper left corner is given; grey where there is none, or it is broken."""
    pixels = decode(png)
    edge = 0.03
    if pixels is None:
        axis.fill(
            [left + edge, left + 1 - edge, left + 1 - edge, left + edge],
            [top + edge, top + edge, top + 1 - edge, top + 1 - edge],
            "#eeeeee",
        )
        return
    grey: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255} if pixels.ndim == 2 else {}
    axis.imshow(pixels, extent=(left + edge, left + 1 - edge, top + 1 - edge, top + edge), interpolation="nearest", aspect="auto", **grey)


def decode(png: Any) -> np.ndarray | None:
    """Pixels of a thumbnail, h × w or h × w × 3, uint8; None for one that is missing or broken."""
    from PIL import Image

    if not isinstance(png, bytes):
        return None
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if max(image.size) > 512:
                return None
            return np.asarray(image.convert("L" if image.mode in ("1", "L", "I", "I;16", "F") else "RGB"))
    except (OSError, ValueError, SyntaxError):
        return None


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, on white, that no window shows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def as_png(figure: Figure, tiles: Sequence[Tile] = ()) -> bytes:
    """The figure as PNG, the same bytes for the same content.

    It is drawn once, with room around it, and cut to what is there: to ask Matplotlib how far that reaches takes as long as to draw it.

    Args:
        tiles: what is pasted into it.
    """
    from PIL import Image

    room = np.array(ROOM)
    while True:
        pixels = _drawn(figure, tiles, room)
        ink = pixels.view(np.uint32)[..., 0] != 0xFFFFFFFF
        (left, right), (top, bottom) = (
            (there[0] - PAD, there[-1] + 1 + PAD) for there in (np.flatnonzero(ink.any(axis=i)) for i in (0, 1))
        )
        short = np.array([left < 0, top < 0, right > ink.shape[1], bottom > ink.shape[0]])
        if not short.any():
            break
        room = np.where(short, 2 * room, room)
    buffer = io.BytesIO()  # without the layer of opacity, and not as small as can be: either takes its time
    Image.fromarray(pixels[top:bottom, left:right, :3]).save(buffer, "PNG", dpi=(DPI, DPI), compress_level=3)
    return buffer.getvalue()


def _drawn(figure: Figure, tiles: Iterable[Tile], room: np.ndarray) -> np.ndarray:
    """Pixels, h × w × 4, uint8, of the figure, and so many left, above, right and below of it."""
    from matplotlib.transforms import Bbox
    from PIL import Image

    (width, height), (left, above, right, below) = figure.get_size_inches(), room / DPI
    figure.savefig(io.BytesIO(), format="raw", bbox_inches=Bbox.from_extents(-left, -below, width + right, height + above))
    pixels = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
    for png, x, y, side in tiles:
        edge, picture = round(side * DPI), decode(png)
        image = Image.new("L", (1, 1), 238) if picture is None else Image.fromarray(picture)
        column, row = room[0] + round(x * DPI), room[1] + round(y * DPI)
        pixels[row : row + edge, column : column + edge, :3] = image.convert("RGB").resize((edge, edge), Image.Resampling.NEAREST)
    return pixels
