"""How far attacks are ahead of what beats nobody: the lead of an attack over the strongest control on the same networks, paired by seed.
And where along an axis most comes back.

Rows hold a question in words alone. These are the answers that follow from any grid's rows: one about controls, one about each axis.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.metrics.intervals import Interval, paired
from bench.metrics.significance import beside_the_least, could_show, holm, least_mean, one_mean
from bench.report.kit.groups import Counts, Group, axis_names, made_of
from bench.report.kit.text import NONE, number, value_of

ALPHA = 0.05
OPEN = "open"


@dataclass(frozen=True)
class Lead:
    """One attack beside every control on the same networks. What is left beside the strongest one is its lead.

    Each control is a comparison of its own, paired by seed; the attack is surely ahead where it is ahead of every single one
    (``bench.metrics.significance.beside_the_least``), so that neither a lucky control nor a lucky choice among them decides.
    """

    attack: Group
    controls: Mapping[str, Group]  # by name, those that share a seed with it
    deltas: Mapping[str, list[float]]  # headline of the attack less that of each control, one a seed; a failed attack's is chance
    shares: Mapping[str, tuple[Counts, Counts]]  # what these are made of, added and taken off; none where it is not known
    among: int = 1  # attacks of which it was picked, as the strongest

    @functools.cached_property
    def least(self) -> str:
        """The control beside which least is left; empty: no control has scores there."""
        return min(self.deltas, key=lambda name: (float(np.mean(self.deltas[name])), name), default="")

    @property
    def control(self) -> Group | None:
        """That control's line; None where there is none, or where it is the look-up of the headline's ``null``."""
        return self.controls.get(self.least)

    @property
    def beside(self) -> str:
        """What that control gets, as tables have it."""
        control = self.control
        if control is not None and control.excess is not None:
            return value_of(control, control.excess.estimate)
        return number(float(np.mean(list(self.attack.null.values())))) if self.least and self.attack.null else NONE

    @property
    def seeds(self) -> int:
        """Of the comparison with that control."""
        return len(self.deltas[self.least]) if self.least else self.attack.ok

    @functools.cached_property
    def interval(self) -> Interval | None:
        """The lead, with its 95 % interval over the seeds; without ends of a single seed; None without any control."""
        names = list(self.deltas)
        lines = [self.deltas[name] for name in names]
        return least_mean(lines, lambda i, level: paired(lines[i], *self.shares[names[i]], level=level)) if names else None

    @functools.cached_property
    def surely(self) -> int:
        """1: ahead of every control at 95 %; −1: behind one; 0: neither is sure."""
        p, side = self.tested
        return side if p <= ALPHA else 0

    @functools.cached_property
    def tested(self) -> tuple[float, int]:
        """The p-value of the lead being 0, and its side, 1 or −1; without any control 1 and 0.

        The strongest of k attacks is ahead by chance k times as often as one (Bonferroni), and no more often behind.
        """
        if not self.deltas:
            return 1.0, 0
        p, above = beside_the_least(list(self.deltas.values()))
        return (min(1.0, self.among * p), 1) if above else (p, -1)

    @functools.cached_property
    def shown(self) -> float | None:
        """The smallest lead that these seeds could have shown (``bench.metrics.significance.could_show``), beside the control that is
        hardest to tell from the attack; None: none has a spread."""
        found = [could_show(values, ALPHA / self.among) for values in self.deltas.values()]
        return max((value for value in found if value is not None), default=None)

    @property
    def sureness(self) -> tuple[int, float]:
        """By which leads are ordered: sure ones first, by their lower end; the others by their estimate."""
        found = self.interval
        return (self.surely, -math.inf if found is None else found.low if self.surely > 0 else found.estimate)


@dataclass(frozen=True)
class Along:
    """What the strongest attack gets along one axis, at the value where it is most and where it is least, all else equal."""

    axis: str
    most: tuple[str, float]  # value of the axis, mean of the headline
    least: tuple[str, float]
    difference: Interval  # paired by seed
    p: float  # of no difference, times the number of pairs of values
    shown: float | None  # the smallest difference that these seeds could have shown; None: there is no spread

    @property
    def sure(self) -> bool:
        """Whether the two are apart."""
        return self.p <= ALPHA


def strongest(groups: Iterable[Group], role: str) -> Group | None:
    """The line of that role with the highest headline; flagged attacks aside."""
    return max(
        (g for g in groups if g.role == role and g.excess and not g.flagged),
        key=lambda g: g.excess.estimate if g.excess else 0.0,
        default=None,
    )


def lead(attack: Group, others: Iterable[Group]) -> Lead:
    """An attack's line beside the controls among others on the same networks, and beside its headline's ``null``."""
    controls: dict[str, Group] = {}
    deltas: dict[str, list[float]] = {}
    shares: dict[str, tuple[Counts, Counts]] = {}
    for control in others:
        seeds = sorted(set(attack.ranked) & set(control.per_seed)) if control.role == "control" and control.excess else []
        if seeds and len(seeds) > len(deltas.get(control.name, ())):  # of two grids that ran it the one that shares more seeds
            controls[control.name] = control
            deltas[control.name] = [attack.ranked[seed] - control.per_seed[seed] for seed in seeds]
            shares[control.name] = made_of(attack, control, seeds)
    if attack.null:
        name, seeds = attack.headline.null_words, sorted(attack.null)
        deltas[name] = [attack.share[seed] - attack.null[seed] for seed in seeds]
        shares[name] = _beside_null(attack, seeds)
    return Lead(attack, controls, deltas, shares)


def _beside_null(attack: Group, seeds: Sequence[int]) -> tuple[Counts, Counts]:
    """Hits of the headline's share, and of its ``null``, of as many."""
    known = attack.counted.get("members", {})
    if any(seed not in known for seed in seeds):
        return [], []
    hits, n = (sum(known[seed][i] for seed in seeds) for i in (0, 1))
    return [(hits, n)], [(sum(round(attack.null[seed] * known[seed][1]) for seed in seeds), n)]


def leads(groups: Sequence[Group]) -> list[Lead]:
    """Of each setting of a part where an attack has scores the strongest one's lead, in order."""
    settings: dict[tuple[int, str], list[Group]] = {}
    for group in groups:
        settings.setdefault((group.axis_index, group.label), []).append(group)
    result = []
    for mine in settings.values():
        if attack := strongest(mine, "attack"):
            among = sum(group.role == "attack" and group.excess is not None and not group.flagged for group in mine)
            result.append(replace(lead(attack, mine), among=among))
    return result


def ahead_at(found: Sequence[Lead]) -> int:
    """At how many of the settings attacks are surely ahead of every control, with a chance of 5 % at most that one is counted falsely.

    At all of them where each lead is by its own test: their denial is that some are not, which needs no correction
    (intersection–union, as in ``bench.metrics.significance``). At some of them by Holm's method.
    """
    if all(one.surely > 0 for one in found):
        return len(found)
    corrected = holm([one.tested[0] for one in found])
    return sum(p <= ALPHA and one.tested[1] > 0 for one, p in zip(found, corrected, strict=True))


def beyond(found: Sequence[Lead]) -> str:
    """Are attacks ahead of controls, in a word: yes, no (behind at every setting), open, or at how many of the settings."""
    ahead = ahead_at(found)
    if not ahead:
        return "no" if found and all(one.surely < 0 for one in found) else OPEN
    return "yes" if ahead == len(found) else f"{ahead} of {len(found)}"


def along(groups: Sequence[Group]) -> list[Along]:
    """Of each axis along which a part's settings differ; data sets aside, across which seeds pair nothing.

    A seed's value is the mean over the settings of the other axes, of those that have scores at every value of this one.
    """
    best = [one.attack for one in leads(groups)]
    return [one for name in axis_names(groups) if name != "dataset" and (one := _along(name, best))]


def _along(axis: str, best: Sequence[Group]) -> Along | None:
    equal: dict[tuple[str, ...], dict[str, Group]] = {}
    for group in best:
        if axis in group.axis:
            equal.setdefault(tuple(v for name, v in group.axis.items() if name != axis), {})[group.axis[axis]] = group
    values = list(dict.fromkeys(value for mine in equal.values() for value in mine))
    whole = [mine for mine in equal.values() if len(mine) == len(values)]
    seeds = sorted(set.intersection(*(set(group.per_seed) for mine in whole for group in mine.values()))) if whole else []
    if len(values) < 2 or not seeds:
        return None
    table = np.array([[[mine[value].per_seed[seed] for seed in seeds] for value in values] for mine in whole]).mean(0)
    means = table.mean(1)
    most, least = int(means.argmax()), int(means.argmin())
    apart = table[most] - table[least]
    difference, p = one_mean(apart)
    pairs = len(values) * (len(values) - 1) // 2
    ends = [(values[i], float(means[i])) for i in (most, least)]
    return Along(axis, ends[0], ends[1], difference, min(1.0, p * pairs), could_show(apart, ALPHA / pairs))
