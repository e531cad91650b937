"""What defences cost and what they are worth: test accuracy of the network against what the strongest attack still gets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.kit.groups import Group
from bench.report.kit.lead import strongest
from bench.report.kit.text import NONE, clean, number, of_headline
from bench.site import charts
from bench.site.gathered import Gathered

GRID = "defenses"


@dataclass(frozen=True)
class Point:
    """One defence at one strength."""

    part: str  # of the grid: what is compared
    slug: str
    defence: str
    parameters: str
    accuracy: float | None
    group: Group  # the strongest attack's line there

    @property
    def score(self) -> str:
        """What that attack gets."""
        return of_headline(self.group)

    @property
    def shown(self) -> str:
        """The accuracy as tables have it."""
        return NONE if self.accuracy is None else number(self.accuracy)


def points(found: Gathered) -> list[Point]:
    """Those of the grid `defenses` and its larger scales, if there are rows of it."""
    result = []
    for slug, page in found.pages.items():
        if page.grid != GRID and not page.grid.startswith(f"{GRID}_"):
            continue
        settings: dict[tuple[str, ...], list[Group]] = {}
        for group in page.groups:
            settings.setdefault((group.track, group.protocol, *(str(value) for value in group.setting.values())), []).append(group)
        for mine in settings.values():
            best = strongest(mine, "attack")
            if best is None:
                continue
            setting, track = best.setting, f"{best.track}, " if len({g.track for g in page.groups}) > 1 else ""
            known = [facts["test_accuracy"] for facts in best.targets.values() if facts.get("test_accuracy") is not None]
            part = clean(f"{track}{setting.get('dataset_display')}, {setting.get('model')} {setting.get('hidden')}", 80)
            accuracy = statistics.fmean(value for value in known if value is not None) if known else None
            parameters = str(setting.get("defense_params") or "").strip("{}").replace('"', "")
            result.append(Point(part, slug, str(setting.get("defense")), clean(parameters, 60), accuracy, best))
    return result


def plots(found: Sequence[Point]) -> list[charts.Spec]:
    """A plot for each part with two points or more."""
    result = []
    for part in dict.fromkeys(point.part for point in found):
        mine = [point for point in found if point.part == part and point.accuracy is not None and point.group.excess]
        if len(mine) < 2:
            continue
        values = []
        for point in mine:
            assert point.group.excess is not None
            estimate, low, high = (round(value, 4) for value in point.group.excess)
            tip = [f"{point.defence} {point.parameters}".strip(), f"strongest attack {clean(point.group.name, 60)}", point.score]
            values.append(
                {
                    "x": point.accuracy,
                    "a": point.defence,
                    "e": estimate,
                    "lo": low,
                    "hi": high,
                    "t": "\n".join([*tip, f"test accuracy {point.shown}"]),
                }
            )
        looks = charts.looks([(name, name == "none") for name in dict.fromkeys(point.defence for point in mine)])
        headline = mine[0].group.headline
        result.append(
            {
                "kind": "frontier",
                "title": part,
                "x": "test accuracy",
                "y": f"{headline.words} of the strongest attack",
                "values": values,
                **looks,
            }
        )
    return result
