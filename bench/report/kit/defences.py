"""What defences are worth: what the strongest attack still finds beside each of them, and what they cost in test accuracy.

Each setting with a defence is compared with the one without at the same data and initial weights, seed by seed. A defence is judged by the
strongest attacker: it lowers what comes back only where *every* attack on it falls behind the strongest one without it (an
intersection–union test, `bench.metrics.significance.beside_the_least`; the strongest one of k is ahead by chance k times as often as one).
It counts as effective where, beside that, an attack was run that knows of it. All p-values of a page are corrected together (Holm).
A network that only answers questions is compared with one that answers them undefended, by attacks that ask: whoever holds weights is
another attacker.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bench.metrics.intervals import Interval, t_interval
from bench.metrics.significance import beside_the_least, holm, least_mean, one_mean
from bench.report.kit import rows as taken
from bench.report.kit.groups import Group
from bench.report.kit.text import interval, value_of

ALPHA = 0.05
TENTH = 0.1  # of the members, those that came back best
THRESHOLD = 0.4  # SSIM above which an image counts as rebuilt, as in the score protocol
DEFENCE = ("defense", "defense_params")
ASKED = ", questions only"  # of a network whose weights are not given


@dataclass(eq=False)
class Point:
    """One setting: its lines of attacks, and what is known of its networks."""

    label: str
    setting: Mapping[str, Any]
    attacks: list[Group]  # with scores, flagged ones aside
    against: tuple[str, ...]  # attacks that the defence names
    accuracy: dict[int, float]  # seed → test accuracy
    bounds: dict[str, float]  # what else the rows say of a defence, mean over seeds: epsilon, rero_bound
    ssim: dict[int, np.ndarray]  # seed → of each member the highest SSIM that any of the attacks came to, 0 for a miss
    base: Point | None = None  # the setting without a defence
    dominated_by: Point | None = None
    corrected: dict[str, float] = field(default_factory=dict)  # p-values: "lowered", "cost"

    @property
    def released(self) -> bool:
        """Whether some attack was given weights."""
        return any(_with_weights(group) for group in self.attacks)

    @property
    def defence(self) -> str:
        """Its name; of a setting without one, which stands beside them, its label."""
        return self.label if self.setting["defense"] == "none" else str(self.setting["defense"])

    @functools.cached_property
    def strongest(self) -> Group:
        """The line of the strongest attack."""
        return max(self.attacks, key=lambda group: group.excess.estimate if group.excess else -math.inf)

    @property
    def found(self) -> float:
        """What that attack finds."""
        return self.strongest.excess.estimate if self.strongest.excess else math.nan

    @property
    def utility(self) -> float:
        """Mean test accuracy."""
        return float(np.mean(list(self.accuracy.values()))) if self.accuracy else math.nan

    @property
    def adapted(self) -> list[str]:
        """Attacks that know of the defence and have scores here. Of a setting without a defence, every attack: there is nothing to know."""
        names = {group.attack for group in self.attacks}
        return sorted(names if self.setting["defense"] == "none" else names & set(self.against))

    @functools.cached_property
    def deltas(self) -> list[list[float]]:
        """The strongest attack without the defence, less each attack on it, by seed."""
        if self.base is None:
            return []
        before = self.base.strongest.ranked
        pairs = [(sorted(set(before) & set(group.ranked)), group.ranked) for group in self.attacks]
        return [[before[seed] - after[seed] for seed in seeds] for seeds, after in pairs if seeds]

    @functools.cached_property
    def lowered(self) -> Interval | None:
        """By how much less the strongest attack finds."""
        return least_mean(self.deltas) if self.deltas else None

    @functools.cached_property
    def cost(self) -> Interval | None:
        """Test accuracy that it takes."""
        return t_interval(self._costs) if self._costs else None

    @functools.cached_property
    def vulnerable(self) -> Interval | None:
        """By how much lower the mean SSIM of the most vulnerable tenth is, of each setting its own tenth."""
        if self.base is None:
            return None
        seeds = sorted(set(self.base.ssim) & set(self.ssim))
        return t_interval([tenth(self.base.ssim[s]) - tenth(self.ssim[s]) for s in seeds]) if seeds else None

    @functools.cached_property
    def still(self) -> tuple[int, int] | None:
        """Of the images that came back best without the defence, how many are rebuilt in spite of it, of how many."""
        if self.base is None:
            return None
        own = [self.ssim[s][best(self.base.ssim[s])] for s in sorted(set(self.base.ssim) & set(self.ssim)) if self._alike(s)]
        every = np.concatenate(own) if own else np.empty(0)
        return (int((every > THRESHOLD).sum()), len(every)) if len(every) else None

    @property
    def verdict(self) -> str:
        """In a word: effective, not judged (no attack that knows of it was run), raises, or open."""
        p, above = self._tested
        if self.base is None or self.corrected.get("lowered", p) > ALPHA:
            return "open"
        if not above:
            return "raises"
        return "effective" if self.adapted else "not judged"

    @property
    def costs(self) -> bool:
        """Whether it surely takes test accuracy."""
        return self.cost is not None and self.cost.estimate > 0 and self.corrected.get("cost", 1.0) <= ALPHA

    def p_values(self) -> dict[str, float]:
        """Before they are corrected."""
        if self.base is None:
            return {}
        found = {"lowered": self._tested[0]} if self.deltas else {}
        return found | ({"cost": one_mean(self._costs)[1]} if self._costs else {})

    @functools.cached_property
    def _tested(self) -> tuple[float, bool]:
        if self.base is None or not self.deltas:
            return 1.0, False
        p, above = beside_the_least(self.deltas)
        return (min(1.0, len(self.base.attacks) * p), True) if above else (p, False)

    @functools.cached_property
    def _costs(self) -> list[float]:
        if self.base is None:
            return []
        return [self.base.accuracy[seed] - self.accuracy[seed] for seed in sorted(set(self.base.accuracy) & set(self.accuracy))]

    def _alike(self, seed: int) -> bool:
        """Whether the members are the same ones: a defence may plant or leave out some."""
        return self.base is not None and len(self.base.ssim[seed]) == len(self.ssim[seed])


def best(ssim: np.ndarray) -> np.ndarray:
    """Places of the tenth of the members that came back best, at least one."""
    return np.argsort(-ssim, kind="stable")[: max(1, round(TENTH * len(ssim)))]


def tenth(ssim: np.ndarray) -> float:
    """Their mean SSIM."""
    return float(ssim[best(ssim)].mean())


def points(groups: Iterable[Group], rows: pd.DataFrame, images: pd.DataFrame) -> list[Point]:
    """The settings of one part of a page, in grid order, each beside its setting without a defence; none where no setting has a defence
    that is one against attacks: what is planted is no such.

    Args:
        rows, images: score rows and image rows of the grid.
    """
    told = rows[rows["cell_id"].notna()].drop_duplicates("cell_id").set_index("cell_id")
    places: dict[tuple[int, str], list[Group]] = {}
    for group in groups:
        if group.role == "attack" and group.per_seed and group.excess is not None and not group.flagged:
            places.setdefault((group.axis_index, group.label), []).append(group)
    sides = taken.by_cell(images, ("ssim",), known="candidate") if len(images) else {}
    found = [_point(mine, told, sides) for _, mine in sorted(places.items(), key=lambda place: place[0])]
    cells = [cell for point in found for group in point.attacks for cell in group.cell_ids.values()]
    if told.loc[cells, "planted_owner"].notna().any():
        return []
    plain = [point for point in found if point.setting["defense"] == "none"]
    if not plain or len(plain) == len(found):
        return []
    asked: dict[int, Point] = {}
    for point in list(found):
        base = _without(point, plain)
        if not point.released and base.released:
            silent = [group for group in base.attacks if not _with_weights(group)]
            if not silent:
                continue
            if id(base) not in asked:
                asked[id(base)] = _point(silent, told, sides)
                asked[id(base)].label += ASKED
                found.insert(found.index(base) + 1, asked[id(base)])
            base = asked[id(base)]
        if point is not base:
            point.base = base
    for point in found:
        point.dominated_by = next((other for other in found if _dominates(other, point)), None)
    return found


def parts(groups: Iterable[Group], rows: pd.DataFrame, images: pd.DataFrame) -> dict[str, list[Point]]:
    """The `points` of a page by its section and track, all p-values corrected together."""
    mine: dict[str, list[Group]] = {}
    for group in groups:
        mine.setdefault(" · ".join(filter(None, (group.section, group.track))), []).append(group)
    found = {name: part for name, own in mine.items() if (part := points(own, rows, images))}
    correct(list(found.values()))
    return found


def correct(parts: Sequence[Sequence[Point]]) -> None:
    """Corrects all p-values of a page together."""
    tests = [(point, name, p) for part in parts for point in part for name, p in point.p_values().items()]
    for (point, name, _), p in zip(tests, holm([p for _, _, p in tests]), strict=True):
        point.corrected[name] = p


def undominated(part: Sequence[Point]) -> list[Point]:
    """The frontier, the most accurate first."""
    return sorted((point for point in part if point.dominated_by is None), key=lambda point: -point.utility)


def _point(mine: Sequence[Group], told: pd.DataFrame, sides: taken.Sides) -> Point:
    accuracy: dict[int, float] = {}
    ssim: dict[int, np.ndarray] = {}
    bounds: dict[str, list[float]] = {}
    against: tuple[str, ...] = ()
    for group in mine:
        for seed, cell in group.cell_ids.items():
            row = told.loc[cell]
            if not pd.isna(row["test_accuracy"]):
                accuracy[seed] = float(row["test_accuracy"])
            if isinstance(row["defense_against"], str):
                against = tuple(row["defense_against"].split("+"))
            for name in ("epsilon", "rero_bound"):
                if name in told.columns and not pd.isna(row[name]):
                    bounds.setdefault(name, []).append(float(row[name]))
            if cell in sides:
                own = np.nan_to_num(sides[cell][0]["ssim"]).clip(min=0)
                ssim[seed] = np.maximum(ssim[seed], own) if seed in ssim and len(ssim[seed]) == len(own) else own
    first = mine[0]
    return Point(first.label, first.setting, list(mine), against, accuracy, {k: float(np.mean(v)) for k, v in bounds.items()}, ssim)


def _without(point: Point, plain: Sequence[Point]) -> Point:
    """The same setting without the defence; of a setting without one, or where there is none such, the first without, all data alike."""
    if point.setting["defense"] != "none":
        fields = [name for name in point.setting if name not in DEFENCE]
        for other in plain:
            if all(other.setting[name] == point.setting[name] for name in fields):
                return other
    alike = [other for other in plain if all(other.setting[name] == point.setting[name] for name in ("dataset", "n_per_class", "classes"))]
    return alike[0] if alike else plain[0]


def _with_weights(group: Group) -> bool:
    return "final_weights" in group.access.split("+")


def _dominates(one: Point, other: Point) -> bool:
    """Whether as little comes back at as much accuracy, and one of both is better, on the same data and at the same access; by means."""
    if one is other or one.setting["dataset"] != other.setting["dataset"] or one.released != other.released:
        return False
    gains = (one.utility - other.utility, other.found - one.found)
    return min(gains) >= 0 and max(gains) > 0


# --- in words ---------------------------------------------------------------------------------------------------------------------------


def sentences(part: Sequence[Point]) -> list[tuple[Point, str]]:
    """For each defence the strength to speak of, and one sentence or two about it that one can act on; the most effective first.

    Plain text, without the name. Wants p-values that are corrected.
    """
    by_name: dict[str, list[Point]] = {}
    for point in part:
        if point.base is not None:
            by_name.setdefault(point.defence, []).append(point)
    chosen = [(_choice(mine), len(mine)) for mine in by_name.values()]
    order = {"effective": 0, "not judged": 1, "open": 2, "raises": 3}
    chosen.sort(key=lambda one: (order[one[0].verdict], -(one[0].lowered.estimate if one[0].lowered else 0.0)))
    return [(point, _sentence(point, strengths)) for point, strengths in chosen]


def _choice(mine: Sequence[Point]) -> Point:
    """Of effective strengths that at which least is found, or else the same of all."""
    effective = [point for point in mine if point.verdict == "effective"]
    return min(effective or mine, key=lambda point: (point.found, -point.utility))


def _sentence(point: Point, strengths: int) -> str:
    assert point.base is not None
    where = f" ({point.label})" if point.label != point.defence else ""
    left = value_of(point.strongest, point.found)
    change = f"the strongest attack finds {left} in place of {value_of(point.base.strongest, point.base.found)}"
    paid = "" if point.cost is None else f", accuracy lost {interval(point.cost)}"
    if point.verdict == "open":
        sure = "at none of the strengths tried is it sure" if strengths > 1 else "it is not sure"
        return f"do not rely on it; {sure} that less comes back. At best{where} {change}{paid}."
    if point.verdict == "raises":
        return f"avoid it{where}, more comes back: {change}{paid}."
    if point.verdict == "not judged":
        return f"run an attack that knows of it before you rely on it{where}; of those that do not, {change}{paid}."
    low = point.strongest.excess.low if point.strongest.excess else 0.0
    advice = "use it" if point.dominated_by is None and not point.costs else "weigh it"
    return (
        f"{advice}{where}; {change}{paid}. "
        + ("What is left is still a leak." if low > point.strongest.headline.chance else "What is left is not apart from nothing.")
        + (" It is paid for with accuracy." if point.costs else "")
        + ("" if point.dominated_by is None else f" {point.dominated_by.label} does as much for less.")
    )
