"""Does an axis matter, where a grid has several? Each against its first value with all else equal, paired by seed, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.api import Section
from bench.report.kit.groups import Difference, Group, axis_names, differences
from bench.report.kit.page import Page
from bench.report.kit.text import escape


class Along(Section):
    """A line for each axis, attack and value. Grids of one axis have the section `Answers`."""

    name: ClassVar[str] = "along"
    title: ClassVar[str] = "### Do the axes matter?"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        names = axis_names(page.groups)
        if len(names) < 2:
            return []
        lines = [line for axis in names if axis != "dataset" for line in _along(axis, page.groups)]  # across data sets seeds pair nothing
        if not lines:
            return []
        note = f"Differences of {page.groups[0].headline.words}, paired by seed, all else equal; in brackets the least and the greatest."
        return [
            *lines,
            "",
            note,
            "Student's t over the seeds decides, setting by setting; not corrected for the number of comparisons.",
            "",
        ]


def _along(axis: str, groups: Sequence[Group]) -> list[str]:
    """One axis: how many settings of the others it matters at."""
    equal: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        equal.setdefault(tuple(value for name, value in group.axis.items() if name != axis), []).append(group)
    found: dict[tuple[str, str, str], list[Difference]] = {}
    for mine in equal.values():
        values = {group.label: group.axis[axis] for group in mine}
        for one in differences(sorted(mine, key=lambda group: group.axis_index)):
            found.setdefault((one.attack, values[one.baseline], values[one.value]), []).append(one)
    return [
        f"- {escape(attack)}, {escape(axis)} {escape(first)} → {escape(value)}: {_in_words(some)}."
        for (attack, first, value), some in sorted(found.items(), key=lambda item: item[0][0])
    ]


def _in_words(found: Sequence[Difference]) -> str:
    counts = {word: sum(word in one.verdict for one in found) for word in ("raises", "lowers")}
    parts = [f"**{word}** it at {count}" for word, count in counts.items() if count]
    unclear = len(found) - sum(counts.values())
    parts += [f"inconclusive at {unclear}"] if unclear else []
    estimates = [one.estimate for one in found if one.estimate is not None]
    spread = f" ({min(estimates):+.2f} to {max(estimates):+.2f})" if estimates else ""
    return f"{', '.join(parts)} of {len(found)} settings{spread}"
