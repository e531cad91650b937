"""What the pages say of the informed track: answers against the nearest public image, and lines against each other, paired by image.

Cells of one setting and seed share their secret images, whatever the attack, and settings that differ in the network alone share them too.
So two lines are compared image by image, and the seeds' means are tested: each seed has other images, so that Student's t over them answers
for other initialisations and other images. (A bootstrap over three seeds is too narrow by far.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd

from bench.api import Section
from bench.report.kit import correlation
from bench.report.kit.groups import Group, axis_names
from bench.report.kit.page import Page
from bench.report.kit.text import NONE, attack_name, axis_heads, axis_labels, escape, number, table

BASE = "informed_adversary"  # the attack that the guided ones are compared with
RANDOM = "random_mask"  # the control that stands beside a guided attack of the same size
OF_UNITS = ("lime", "inactive")  # detectors that judge whole units; the others judge single coordinates
METRICS = {"mse": "lower", "ssim": "higher", "lpips": "lower"}  # per-image column → better for the attacker

Values = Mapping[str, pd.DataFrame]  # cell id → its members' numbers, by index


def members(images: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The members' numbers of every cell."""
    mine = images[images["split"] == "member"]
    columns = [*METRICS, "pool_mse", "pool_ssim"]
    return {str(name): part.set_index("index")[columns].sort_index() for name, part in mine.groupby("cell_id")}


def section(groups: Sequence[Group], values: Values) -> list[str]:
    """The lines of a page for the groups of one section; none where no image rows are there."""
    mine = [g for g in groups if g.cell_ids and all(cell in values for cell in g.cell_ids.values())]
    if not mine:
        return []
    return [*_against_pool(mine, values), *_along_axis(mine, values), *_against_base(mine, values), *_against_random(mine, values)]


def paired(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> list[float]:
    """The mean over images of a − b, seed by seed.

    Args:
        a, b: one array of images a seed, in the same order.
    """
    return [float((x - y).mean()) for x, y in zip(a, b, strict=True)]


def _column(group: Group, values: Values, name: str, seeds: Sequence[int] | None = None) -> list[np.ndarray]:
    chosen = sorted(group.cell_ids) if seeds is None else seeds
    return [values[group.cell_ids[seed]][name].to_numpy(dtype=float) for seed in chosen]


def _compare(a: Group, b: Group, values: Values, metric: str) -> list[float]:
    """a − b over the images that both have, seed by seed; nothing where they share no seed, or a number is missing."""
    common = sorted(set(a.cell_ids) & set(b.cell_ids))
    return _told(_column(a, values, metric, common), _column(b, values, metric, common))


def _told(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> list[float]:
    """`paired`, or nothing where a number is missing."""
    if any(len(x) != len(y) or not (np.isfinite(x).all() and np.isfinite(y).all()) for x, y in zip(left, right, strict=True)):
        return []
    return paired(left, right)


def verdict(differences: Sequence[float], better: str) -> str:
    """Whether differences, one a seed, help the attacker, in one word."""
    if not differences:
        return NONE
    apart = correlation.apart(differences)
    if not apart:
        return "inconclusive" if apart == 0 else "inconclusive (one seed)"
    return "**better**" if (apart > 0) == (better == "higher") else "**worse**"


def _shown(differences: Sequence[float], decimals: int = 4) -> str:
    return correlation.shown(differences, math.inf, decimals)


def _against_pool(groups: Sequence[Group], values: Values) -> list[str]:
    names = axis_names(groups)
    rows = []
    for group in groups:
        mse, pool = _column(group, values, "mse"), _column(group, values, "pool_mse")
        difference = _told(mse, pool)
        beats = float(np.mean([np.mean(a < b) for a, b in zip(mse, pool, strict=True)])) if difference else None
        means = group.means
        rows.append(
            [
                *axis_labels(group, names),
                attack_name(group),
                f"{np.mean([m.mean() for m in mse]):.4f}",
                f"{np.mean([p.mean() for p in pool]):.4f}" if difference else NONE,
                _shown(difference),
                NONE if beats is None else f"{100 * beats:.0f} %",
                verdict(difference, "lower"),
                f"{number(means.get('ssim_mean'))} : {number(means.get('pool_ssim_mean'))}",
                f"{number(means.get('lpips_median'))} : {number(means.get('pool_lpips_median'))}",
            ]
        )
    head = axis_heads(names)
    columns = [
        *head, "attack", "MSE", "nearest public image", "difference [95 % CI]", "answers nearer", "verdict",
        "mean SSIM, answer : most similar public image", "median LPIPS, answer : nearest public image",
    ]  # fmt: skip
    seeds = _span([len(group.cell_ids) for group in groups])
    images = _span([sum(len(v) for v in _column(group, values, "mse")) for group in groups])
    return [
        "### Against the nearest public image",
        "",
        "The null model of this track: for each secret image the public image nearest to it, chosen by looking at the secret. The attacker",
        "owns those images; an attack that comes no nearer has rebuilt nothing that it did not have.",
        f"Means over {images} secret images of {seeds} initialisations a line; lower MSE is nearer.",
        "Differences here and below are means over seeds, with Student's t interval over them.",
        "",
        *table(columns, rows, right=range(len(head) + 1, len(columns))),
        "",
    ]


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _along_axis(groups: Sequence[Group], values: Values) -> list[str]:
    names = axis_names(groups)
    if len(names) != 1 or names[0] == "dataset":  # across data sets the secret images are others
        return []
    by_attack: dict[str, list[Group]] = {}
    for group in groups:
        if group.role == "attack":
            by_attack.setdefault(group.name, []).append(group)
    rows, words = [], []
    for name, mine in by_attack.items():
        base, found = mine[0], {}
        for group in mine[1:]:
            found[group.label] = _compare(group, base, values, "mse")
            rows.append([escape(name), f"{escape(base.label)} → {escape(group.label)}", *_differences(group, base, values)])
        if found:
            words.append(f"- {escape(name)}, against {escape(base.label)}: {_in_words(found)}.")
    if not rows:
        return []
    axis = escape(names[0])
    return [
        f"### Does {axis} matter, image by image?",
        "",
        *words,
        "",
        "Differences over the same secret images, known images and initial weights. Not corrected for the number of comparisons.",
        "",
        *table(["attack", axis, *_heads()], rows),
        "",
    ]


def _against_base(groups: Sequence[Group], values: Values) -> list[str]:
    names = axis_names(groups)
    rows, words = [], []
    bases: dict[str, Group] = {}
    for group in groups:  # where a grid runs it several times, its first variant by name
        if group.attack == BASE and (group.label not in bases or group.name < bases[group.label].name):
            bases[group.label] = group
    others: dict[str, dict[str, list[float]]] = {}
    for group in groups:
        base = bases.get(group.label)
        if base is None or group is base:
            continue
        others.setdefault(attack_name(group), {})[group.label or "all"] = _compare(group, base, values, "mse")
        rows.append([*axis_labels(group, names), attack_name(group), *_differences(group, base, values)])
    for name, found in others.items():
        words.append(f"- {name}, against {escape(next(iter(bases.values())).name)}: {_in_words(found)}.")
    if not rows:
        return []
    head = axis_heads(names)
    return [
        "### Against the attack on all parameters, image by image",
        "",
        *words,
        "",
        f"Differences from *{escape(next(iter(bases.values())).name)}* over the same secret images.",
        "Not corrected for the number of comparisons.",
        "",
        *table([*head, "attack", *_heads()], rows),
        "",
    ]


def _against_random(groups: Sequence[Group], values: Values) -> list[str]:
    """Guided lines beside a random mask of the same size, where the grid has one."""
    names = axis_names(groups)
    randoms = {(g.label, g.hyperparameters.get("keep"), g.hyperparameters.get("level")): g for g in groups if g.attack == RANDOM}
    rows, found = [], dict[str, dict[str, list[float]]]()
    for group in groups:
        chosen = group.hyperparameters
        if "detector" not in chosen or chosen.get("ablate") == "informative":
            continue
        level = "unit" if chosen["detector"] in OF_UNITS else "coordinate"
        other = randoms.get((group.label, chosen.get("keep"), level))
        if other is None:
            continue
        found.setdefault(attack_name(group), {})[group.label or "all"] = _compare(group, other, values, "mse")
        rows.append([*axis_labels(group, names), attack_name(group), escape(other.name), *_differences(group, other, values)])
    if not rows:
        return []
    head = axis_heads(names)
    return [
        "### Against a random mask of the same size, image by image",
        "",
        *(f"- {name}, against random: {_in_words(differences)}." for name, differences in found.items()),
        "",
        "A mask that is chosen well has to beat one that is drawn. Not corrected for the number of comparisons.",
        "",
        *table([*head, "attack", "random mask", *_heads()], rows),
        "",
    ]


def _heads() -> list[str]:
    return ["MSE [95 % CI]", "SSIM [95 % CI]", "LPIPS [95 % CI]", "verdict (MSE)"]


def _differences(a: Group, b: Group, values: Values) -> list[str]:
    found = {metric: _compare(a, b, values, metric) for metric in METRICS}
    return [_shown(found["mse"]), _shown(found["ssim"], 3), _shown(found["lpips"], 3), verdict(found["mse"], "lower")]


def _in_words(found: Mapping[str, Sequence[float]]) -> str:
    """``better at elu, gelu; worse at tanh; inconclusive at silu``, of the MSE."""
    words: dict[str, list[str]] = {}
    for label, difference in found.items():
        words.setdefault(verdict(difference, "lower"), []).append(escape(label))
    order = ["**better**", "**worse**", "inconclusive", "inconclusive (one seed)", NONE]
    return "; ".join(f"{word} at {', '.join(words[word])}" for word in order if word in words)


class Paired(Section):
    """See the module."""

    name: ClassVar[str] = "paired"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        cells = [cell for group in page.groups for cell in group.cell_ids.values()]
        return section(page.groups, members(page.images[page.images["cell_id"].isin(cells)]))
