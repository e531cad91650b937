"""The pictures of the anatomy, drawn from its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.kit.figures import COLOURS, FAINT, INK, as_png, decode, new_figure, styled
from bench.report.kit.text import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RECIPES = {
    "informed": "Small network, ordinary start,\ntrained until it fits",
    "kkt": "500 units, tiny start, weight decay,\ntrained for long",
}
PANELS = (
    ("quiet", 0, "Hidden units that hardly vary"),
    ("moved", 0, "First layer's distance from its start"),
    ("moved", 1, "Output layer's distance from its start"),
)
SOFT = "#6f6f6f"
# the lines of the lower half: measure → what it is called, and how it is rebuilt
LINES = (
    ("truth", "truth", ""),
    ("all", "all parameters", ""),
    ("units kept", "informative half", "of the units (LIME)"),
    ("units random", "random half", "of the units"),
    ("units removed", "the other half", "of the units"),
    ("parameters kept", "most informative 30 %", "of the parameters (variance)"),
    ("parameters random", "random 30 %", "of the parameters"),
    ("parameters removed", "least informative 30 %", "of the parameters"),
)
FIRST = (
    ("weights", "weights", "red +, blue −"),
    ("units kept", "redundant units", "greyed out (LIME)"),
    ("parameters kept", "redundant parameters", "greyed out (variance)"),
)


@styled
def dynamics(table: pd.DataFrame, title: str) -> bytes | None:
    """PNG: units that hardly vary, and distances of weights, against epochs; a line an activation, a row a recipe. None: nothing there."""
    table = table[table["part"] == "dynamics"]
    recipes = [name for name in RECIPES if (table["recipe"] == name).any()]
    if not recipes:
        return None
    figure = new_figure(13.2, 3.5 * len(recipes) + 0.5)
    axes = figure.subplots(len(recipes), 3, squeeze=False)
    names = list(dict.fromkeys(table["activation"]))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    for row, recipe in enumerate(recipes):
        for axis, (measure, layer, heading) in zip(axes[row], PANELS, strict=True):
            mine = table[(table["recipe"] == recipe) & (table["measure"] == measure) & (table["index"] == layer)]
            for name in names:
                _curve(axis, mine[mine["activation"] == name], colour[name], name)
            if measure == "quiet":
                for name in names:
                    dead = table[(table["recipe"] == recipe) & (table["measure"] == "dead") & (table["activation"] == name)]
                    _curve(axis, dead, colour[name], None)
                shares = table[(table["recipe"] == recipe) & table["measure"].isin(["dead", "quiet"])]["value"]
                axis.set_ylim(-0.03 * max(0.1, shares.max()), 1.06 * max(0.1, shares.max()))
                axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
                axis.set_ylabel("share of hidden units")
            else:
                axis.set_yscale("symlog", linthresh=0.1)
                axis.set_ylim(bottom=0)
                axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
                axis.set_ylabel("‖W − W₀‖ / ‖W₀‖")
            axis.set_xscale("symlog", linthresh=1)
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}".replace(",", "\u2009"))
            axis.set_xlim(0, max(1, table[table["recipe"] == recipe]["epoch"].max()))
            axis.set_xlabel("epoch")
            axis.grid(color=FAINT, linewidth=0.8)
            axis.set_axisbelow(True)
            axis.spines[["top", "right"]].set_visible(False)
            if row == 0:
                axis.set_title(heading, loc="left", fontweight="bold", pad=10)
        axes[row, 0].text(
            -0.26, 0.5, RECIPES[recipe], transform=axes[row, 0].transAxes, rotation=90, ha="center", va="center", fontsize=8.5, color=SOFT
        )
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour[name], linewidth=2.6 if name == "relu" else 1.6, label=name) for name in names]
    kinds = [Line2D([], [], color=SOFT, linewidth=1.6, label=QUIET), Line2D([], [], color=SOFT, linewidth=1.6, linestyle=":", label=DEAD)]
    for lines, heading, top in ((handles, "activation", 0.89), (kinds, "hidden units vary", 0.45)):
        legend = figure.legend(handles=lines, loc="upper left", bbox_to_anchor=(0.915, top), frameon=False, title=heading, alignment="left")
        legend.get_title().set_fontweight("bold")
    figure.suptitle(clean(title, 100), x=0.075, y=0.99, ha="left", fontweight="bold", fontsize=12)
    figure.subplots_adjust(left=0.1, right=0.9, top=0.89, bottom=0.09, wspace=0.27, hspace=0.32)
    return as_png(figure)


DEAD = "not at all"
QUIET = "< 10 % of the\nmost varying unit"


def _curve(axis: Axes, rows: pd.DataFrame, colour: str, name: str | None) -> None:
    """The mean over seeds, and a band from the least to the most; dotted without a name."""
    if rows.empty:
        return
    # the epochs of different seeds differ where training ends by its loss: read each curve at the epochs of all
    wide = (
        rows.pivot_table(index="epoch", columns="seed", values="value")
        .sort_index()
        .interpolate(method="index", limit_area="inside")
        .ffill()
    )
    strong = name == "relu"
    style: dict[str, Any] = {"linestyle": "-" if name else ":", "linewidth": 2.6 if strong else 1.5, "zorder": 4 if strong else 3}
    axis.plot(wide.index, wide.mean(axis=1), color=colour, **style)
    if name:
        axis.fill_between(wide.index, wide.min(axis=1), wide.max(axis=1), color=colour, alpha=0.09, linewidth=0, zorder=2)


@styled
def portrait(table: pd.DataFrame, seed: int, title: str) -> bytes | None:
    """PNG: a network's first layer under both masks, and below what is rebuilt from which parameters. None: nothing to draw."""
    mine = table[(table["seed"] == seed) & (table["activation"] == "relu")]
    layer, rebuilt = mine[mine["part"] == "first_layer"], mine[mine["part"] == "rebuilt"]
    if layer.empty or rebuilt.empty:
        return None
    units, targets = sorted(layer["index"].unique()), sorted(rebuilt[rebuilt["measure"] == "truth"]["index"].unique())
    label, end, pitch = 3.0, 1.75, 1.28
    across = max(10.0, len(targets) + end)
    side = min(1.0, across / len(units))  # of a unit's picture
    width = label + across
    head, gap = 1.15, 0.95
    top, row = head + 0.35, max(side + 0.1, 0.68)
    below = top + len(FIRST) * row + gap
    height = below + len(LINES) * pitch + 0.05
    scale = 0.78
    figure = new_figure(width * scale, height * scale)
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)
    axis.axis("off")
    axis.text(0, 0.05, clean(title, 90), ha="left", va="top", fontweight="bold", fontsize=12)
    axis.text(0, 0.52, f"one network, seed {seed}; its {len(units)} hidden units from left to right", va="top", fontsize=9, color=SOFT)
    axis.text(label, head + 0.08, "First layer", ha="left", va="center", fontweight="bold", fontsize=10)
    for line, (measure, name, note) in enumerate(FIRST):
        y = top + line * row
        _label(axis, label, y, name, note, side)
        own = layer[layer["measure"] == measure].set_index("index")
        for i, unit in enumerate(units):
            _tile(axis, own["png"].get(unit), label + i * side, y, side)
    axis.text(
        label, below - 0.28, "Rebuilt by the informed adversary, SSIM to the truth", ha="left", va="center", fontweight="bold", fontsize=10
    )
    axis.text(label + len(targets) + 0.2 + end / 2, below - 0.28, "mean of all", ha="center", va="center", fontsize=9, color=SOFT)
    for line, (measure, name, note) in enumerate(LINES):
        y = below + line * pitch
        _label(axis, label, y, name, note)
        own = rebuilt[rebuilt["measure"] == measure].set_index("index")
        for i, target in enumerate(targets):
            _tile(axis, own["png"].get(target), label + i, y)
            if measure != "truth":
                value = float(own["value"].get(target, float("nan")))
                _number(axis, label + i + 0.5, y + 1.09, f"{value:.2f}", 7.5, value > 0.4)
        for kind, at, digits in (("ssim", 0.38, 3), ("mse", 0.7, 4)):
            mean = rebuilt[rebuilt["measure"] == f"mean {kind}: {measure}"]["value"]
            if len(mean):
                text = f"{kind.upper()} {float(mean.iloc[0]):.{digits}f}"
                _number(axis, label + len(targets) + 0.2 + end / 2, y + at, text, 9 if kind == "ssim" else 8, kind == "ssim")
    return as_png(figure)


def _number(axis: Axes, x: float, y: float, text: str, size: float, strong: bool) -> None:
    axis.text(x, y, text, ha="center", va="center", fontsize=size, color=INK if strong else SOFT, fontweight="bold" if strong else "normal")


def _tile(axis: Axes, png: Any, left: float, top: float, side: float = 1.0) -> None:
    pixels = decode(png)
    if pixels is None:
        return
    grey: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255} if pixels.ndim == 2 else {}
    edge = 0.03 * side
    extent = (left + edge, left + side - edge, top + side - edge, top + edge)
    axis.imshow(pixels, extent=extent, interpolation="nearest", aspect="auto", **grey)


def _label(axis: Axes, right: float, top: float, name: str, note: str, side: float = 1.0) -> None:
    middle = top + side / 2
    axis.text(right - 0.15, middle - (0.12 if note else 0), name, ha="right", va="center", fontsize=9)
    axis.text(right - 0.15, middle + 0.16, note, ha="right", va="center", fontsize=7.5, color=SOFT)
