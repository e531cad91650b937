"""Does the axis matter? The headline along it against its first value, paired by seed, with a verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.api import Section
from bench.report.kit.groups import Difference, Group, axis_names, differences
from bench.report.kit.page import Page
from bench.report.kit.text import escape, interval, signed, table


class Answers(Section):
    """See the module."""

    name: ClassVar[str] = "answers"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return _answers(page.groups)


def _answers(groups: Sequence[Group]) -> list[str]:
    """The axis against its first value, paired by seed, with a verdict in words."""
    names = axis_names(groups)
    if len(names) != 1 or names[0] == "dataset":  # across data sets seeds pair nothing
        return []
    found = differences(groups)
    if not found:
        return []
    axis = escape(names[0])
    rows = [[escape(d.attack), f"{escape(d.baseline)} → {escape(d.value)}", _difference(d), str(d.seeds), d.verdict] for d in found]
    lines = [f"### Does {axis} matter?", ""]
    for attack in dict.fromkeys(d.attack for d in found):
        lines += [f"- {_verdict(axis, [d for d in found if d.attack == attack])}"]
    lines += [
        "",
        f"Differences of {groups[0].headline.words} against the first value, paired by seed; intervals are Student's t over the seeds' "
        "differences",
        "(wide with few seeds, as they should be), not corrected for the number of comparisons.",
        "",
        *table(["attack", axis, "difference [95 % CI]", "paired seeds", "verdict"], rows, right=[3]),
        "",
    ]
    return lines


def _difference(d: Difference) -> str:
    if d.interval is not None:
        return interval(d.interval)
    return signed(d.estimate)


def _verdict(axis: str, found: Sequence[Difference]) -> str:
    def at(word: str) -> list[str]:
        return [escape(d.value) for d in found if word in d.verdict]

    raised, lowered = at("raises"), at("lowers")
    parts = [f"**raised** at {_list(raised)}"] if raised else []
    parts += [f"**lowered** at {_list(lowered)}"] if lowered else []
    unclear = [escape(d.value) for d in found if "raises" not in d.verdict and "lowers" not in d.verdict]
    parts += [f"inconclusive at {_list(unclear)}"] if unclear else []
    return f"{escape(found[0].attack)}, against {axis} = {escape(found[0].baseline)}: {found[0].words} is {'; '.join(parts)}."


def _list(values: Sequence[str]) -> str:
    """Values that may hold commas themselves."""
    return (" / " if any("," in value for value in values) else ", ").join(values)
