"""The picture of the leaderboard: one grid at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.kit import labels
from bench.report.kit.figures import COLOURS, FAINT, GREYS, INK, MAX_PANELS, as_png, new_figure, styled
from bench.report.kit.groups import Group
from bench.report.kit.text import clean
from bench.report.kit.transplants import FLAG


@styled
def picture(groups: Sequence[Group]) -> bytes | None:
    """PNG of one grid at a glance: a row per attack and control, a block per setting, controls grey. None: nothing to draw."""
    scored = [group for group in groups if group.excess and group.headline == groups[0].headline]
    if not scored:
        return None
    blocks: dict[tuple[str, int, str], list[Group]] = {}
    for group in scored:
        blocks.setdefault((group.section, group.axis_index, group.label), []).append(group)
    chosen = list(blocks.items())[:MAX_PANELS]
    figure = new_figure(8.2, 0.55 + sum(0.36 * len(mine) + 0.55 for _, mine in chosen))
    axes = figure.subplots(len(chosen), 1, squeeze=False, sharex=True, height_ratios=[len(mine) + 0.6 for _, mine in chosen])[:, 0]
    low = min(-0.12, min(group.excess.low for group in scored if group.excess) - 0.04)
    for axis, ((section, _, label), mine) in zip(axes, chosen, strict=True):
        for y, group in enumerate(mine):
            assert group.excess is not None
            control = group.role == "control" or group.flagged
            colour = GREYS[0] if control else COLOURS[0]
            axis.plot([group.excess.low, group.excess.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="round", zorder=2)
            axis.plot([group.excess.estimate], [y], marker="o", markersize=7.5, color=colour, zorder=3)
            members, controls = group.hits.get("members", (0, 0)), group.hits.get("controls", (0, 0))
            counts = f"{members[0]}/{members[1]}  ·  {controls[0]}/{controls[1]}"
            axis.text(1.02, y, counts, transform=axis.get_yaxis_transform(), va="center", fontsize=8.5, color=colour)
        names = labels.distinct([group.name for group in mine], 80)
        axis.set_yticks(range(len(mine)), [f"{n}{_mark(g)}" for n, g in zip(names, mine, strict=True)])
        for text, group in zip(axis.get_yticklabels(), mine, strict=True):
            text.set_color("#6f6f6f" if group.role == "control" or group.flagged else INK)
        axis.set_ylim(len(mine) - 0.4, -0.6)
        axis.axvline(scored[0].headline.chance, color="#999999", linewidth=0.9, zorder=1)
        axis.grid(axis="x", color=FAINT, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.tick_params(axis="y", length=0)
        axis.spines[["top", "right", "left"]].set_visible(False)
        heading = ", ".join(part for part in (label, section) if part)
        axis.set_title(_block_title(heading, mine[0]), loc="left", fontweight="bold")
        axis.set_xlim(low, 1.0)
    headline = scored[0].headline
    a, b, hit = headline.counted
    axes[0].text(
        1.02,
        1.03,
        f"{a}  ·  {b}\n{hit}",
        transform=axes[0].transAxes,
        va="bottom",
        fontsize=8,
        color="#6f6f6f",
        linespacing=1.15,
    )
    axes[-1].set_xlabel(f"{headline.in_full}, 95 % interval")
    return as_png(figure)


def _mark(group: Group) -> str:
    return " (control)" if group.role == "control" else f" ({FLAG})" if group.flagged else ""


def _block_title(heading: str, group: Group) -> str:
    setting = group.setting
    sides = f"{setting.get('n_per_class')} training images a class"
    return clean(f"{heading or setting.get('dataset_display')}, {sides}, {setting.get('model')} {setting.get('hidden')}", 90)
