"""How many secret images come back exactly, and whether networks whose activation has a kink hold them as exactly as smooth ones.

An answer is exact from SSIM 0.99 on; one without an SSIM is a miss. An image that came back exactly was in the weights. One that did not
says nothing of the network: it may remember less, or the attack may be weak. So the verdict on a kind of network needs exact images of it,
a larger share than of the controls and than any control attack gets; how often they are found is the attack's success, and told apart.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from bench.api import KINKED, Headline, Section
from bench.metrics.intervals import Interval, shares_over_seeds
from bench.report.kit import correlation, figures
from bench.report.kit.groups import Group, axis_names, in_words
from bench.report.kit.page import Page
from bench.report.kit.text import NONE, attack_name, axis_heads, axis_labels, escape, number, share, table

EXACT = 0.99  # SSIM, at least
SHARE = Headline("exact", "exact images", f"share of the secret images\nat SSIM ≥ {EXACT}", f"share at SSIM ≥ {EXACT}", low=0.0)
OFTEN = {
    -1: "it is found less often",
    0: "whether it is found less often, these seeds do not tell",
    1: "it is found more often",
    None: "too few seeds to tell whether it is found less often",
}


@dataclass(frozen=True)
class Line:
    """The answers of one line, beside members and controls."""

    group: Group
    members: list[np.ndarray]  # SSIM of the images, one array a seed, in the order of the seeds; −∞: none
    controls: list[np.ndarray]

    @property
    def exact(self) -> tuple[int, int]:
        """Members that came back exactly, of how many."""
        return _counted(self.members)

    @property
    def exact_controls(self) -> tuple[int, int]:
        """Controls that an answer matches as well, of how many."""
        return _counted(self.controls)

    @property
    def shares(self) -> dict[int, float]:
        """Seed → share of the members that came back exactly."""
        return {seed: float((ssim >= EXACT).mean()) for seed, ssim in zip(sorted(self.group.cell_ids), self.members, strict=True)}

    @functools.cached_property
    def intervals(self) -> tuple[Interval, Interval]:
        """The shares of members and of controls, over seeds and images."""
        sides = [[f(ssim) for ssim in side] for side in (self.members, self.controls) for f in (lambda x: (x >= EXACT).sum(), len)]
        _, members, controls = shares_over_seeds(*sides)
        return members, controls

    @property
    def rest(self) -> float | None:
        """Median SSIM of the members that did not come back exactly; None without any, or where most have no answer."""
        every = np.concatenate(self.members)
        left = every[every < EXACT]
        median = float(np.median(left)) if len(left) else -math.inf
        return median if math.isfinite(median) else None


def _counted(side: Iterable[np.ndarray]) -> tuple[int, int]:
    every = np.concatenate(list(side))
    return int((every >= EXACT).sum()), len(every)


def lines(groups: Sequence[Group], images: pd.DataFrame) -> list[Line]:
    """Those groups of one part all of whose cells have image rows; none where no attack gave back an image exactly."""
    cells = {cell for group in groups for cell in group.cell_ids.values()}
    mine = images[images["cell_id"].isin(cells)]
    parts = mine.groupby(["cell_id", "split"], observed=True)["ssim"]
    ssim = {key: np.nan_to_num(part.to_numpy(dtype=float), nan=-math.inf) for key, part in parts}
    found = []
    for group in groups:
        keys = [cell for _, cell in sorted(group.cell_ids.items())]
        if keys and all((cell, side) in ssim for cell in keys for side in ("member", "control")):
            found.append(Line(group, *([ssim[cell, side] for cell in keys] for side in ("member", "control"))))
    return found if any(one.group.role == "attack" and one.exact[0] for one in found) else []


def section(groups: Sequence[Group], images: pd.DataFrame, picture: str | None = None) -> list[str]:
    """The lines of a page for the groups of one part."""
    found = lines(groups, images)
    if not found:
        return []
    names = axis_names(groups)
    head = axis_heads(names)
    columns = [*head, "attack", "exact [95 % CI]", "controls [95 % CI]", "not exact", "their median SSIM"]
    return [
        *_verdicts(found, names),
        "",
        *([f"![Share of the secret images that come back exactly]({picture})", ""] if picture else []),
        *table(columns, [_row(one, names) for one in found], right=range(len(head) + 1, len(columns))),
        "",
        f"Exact is an SSIM of {EXACT} or more; an answer without an SSIM is a miss. Intervals are of the shares, over seeds and images.",
        "An image that came back exactly was in the weights; one that did not says nothing of the network, which may remember less, or of",
        "the attack, which may be weak. *Found* is said where the share is above that of the controls and of every control attack.",
        "Differences are between the mean shares of settings, paired by seed, with Student's t interval over the seeds.",
        "",
    ]


def _row(line: Line, names: Sequence[str]) -> list[str]:
    members, controls = line.intervals
    exact, of = line.exact
    return [
        *axis_labels(line.group, names),
        attack_name(line.group),
        share(line.exact, members),
        share(line.exact_controls, controls),
        str(of - exact),
        number(line.rest, 3) if exact < of else NONE,
    ]


def _verdicts(found: Sequence[Line], names: Sequence[str]) -> list[str]:
    """A sentence for each value of the other axes, of the attack that gives back the most there."""
    others = [name for name in names if name != "activation"] if "activation" in names else []
    places: dict[str, list[Line]] = {}
    for one in found:
        places.setdefault(in_words(one.group.axis, others), []).append(one)
    return [f"- {escape(place)}{': ' if place else ''}{_verdict(mine)}" for place, mine in places.items()]


def _verdict(here: Sequence[Line]) -> str:
    attacks: dict[str, list[Line]] = {}
    for one in here:
        if one.group.role == "attack":
            attacks.setdefault(attack_name(one.group), []).append(one)
    name, best = max(attacks.items(), key=lambda item: _total(item[1])[0], default=("", []))
    exact, of = _total(best)
    if not exact:
        return "no attack gives back an image exactly."
    kinked, smooth = ([one for one in best if _kinked(one) == side] for side in (True, False))
    if not kinked or not smooth:
        return f"{name} gives back {exact} of {of} secret images exactly."
    beside = [one for one in here if one.group.role == "control"]
    holds = [_found(side, [one for one in beside if _kinked(one) == kink]) for kink, side in ((True, kinked), (False, smooth))]
    differences = _paired(kinked, smooth)
    words = f"a kink ({_activations(kinked)})"
    said = {
        (True, True): f"**Where the image is found, networks whose activation has {words} hold it as exactly as smooth ones**; "
        f"{OFTEN[correlation.apart(differences)]}.",
        (True, False): f"**Networks whose activation has {words} hold the image exactly; of smooth ones none is found.**",
        (False, True): f"**With {words} no image is found exactly, with smooth activations some are: whether those networks remember less, "
        "or the attacks on them are weak, stays open.**",
        (False, False): "**No image is found exactly that controls do not give as well.**",
    }
    (a, n), (b, m) = _total(kinked), _total(smooth)
    return f"{said[holds[0], holds[1]]} {name} gives back {a} of {n} with a kink and {b} of {m} smooth: {correlation.shown(differences)}."


def _total(mine: Iterable[Line], side: str = "exact") -> tuple[int, int]:
    pairs = [getattr(one, side) for one in mine]
    return sum(hits for hits, _ in pairs), sum(of for _, of in pairs)


def _kinked(line: Line) -> bool:
    return line.group.setting.get("activation") in KINKED


def _activations(mine: Iterable[Line]) -> str:
    return ", ".join(dict.fromkeys(escape(one.group.setting["activation"]) for one in mine))


def _found(mine: Sequence[Line], beside: Sequence[Line]) -> bool:
    """Whether a larger share of the members is exact than of the controls, and than of any control attack's answers."""

    def rate(pair: tuple[int, int]) -> float:
        return pair[0] / pair[1]

    names = {one.group.name for one in beside}
    nulls = [_total(mine, "exact_controls"), *(_total(one for one in beside if one.group.name == name) for name in names)]
    return rate(_total(mine)) > max(map(rate, nulls))


def _paired(kinked: Sequence[Line], smooth: Sequence[Line]) -> list[float]:
    """Mean share over the kinked settings less that over the smooth ones, one a seed that all of them have."""
    seeds = sorted(set.intersection(*(set(one.group.cell_ids) for one in (*kinked, *smooth))))
    return [float(np.mean([one.shares[s] for one in kinked]) - np.mean([one.shares[s] for one in smooth])) for s in seeds]


def figure(groups: Sequence[Group], title: str, images: pd.DataFrame) -> bytes | None:
    """PNG: the share against the axis, a mark an attack, a panel a part. None where no attack gave back an image exactly."""
    parts = dict.fromkeys(group.section for group in groups)
    found = [one for part in parts for one in lines([group for group in groups if group.section == part], images)]
    drawn = [replace(one.group, excess=one.intervals[0], headline=SHARE) for one in found]
    return figures.excess(drawn, f"{title}: images that come back exactly") if drawn else None


class Exact(Section):
    """See the module."""

    name: ClassVar[str] = "exact"
    title: ClassVar[str] = "### How many come back exactly?"
    pictures: ClassVar[tuple[str, ...]] = ("exact",)

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return section(page.groups, page.images, page.figures.get("exact"))

    def figures(self, page: Page) -> dict[str, bytes | None]:
        """See Section."""
        return {"exact": figure(page.groups, page.title, page.images)}
