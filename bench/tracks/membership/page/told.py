"""Are members told from controls? In words, attack by attack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.api import Section
from bench.report.kit.groups import Group
from bench.report.kit.page import Page
from bench.report.kit.text import attack_name, escape


class Told(Section):
    """For each attack and control the settings at which its interval lies above chance, over two seeds or more."""

    name: ClassVar[str] = "told"
    title: ClassVar[str] = "### Are members told from controls?"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        by_attack: dict[str, list[Group]] = {}
        for group in sorted(page.groups, key=lambda g: (g.role, g.name, g.axis_index)):
            if group.excess is not None:
                by_attack.setdefault(attack_name(group), []).append(group)
        if not by_attack:
            return []
        lines = [f"- {name}: {_in_words(mine)}." for name, mine in by_attack.items()]
        return [
            *lines,
            "",
            "Where the interval lies above 0.5, over two seeds or more. Not corrected for the number of comparisons: what knows nothing of",
            "the network has such an interval at one setting in 40, by chance.",
            "",
        ]


def _in_words(groups: Sequence[Group]) -> str:
    told = [group for group in groups if group.excess and len(group.per_seed) > 1 and group.excess.low > group.headline.chance]
    if len(groups) == 1:
        return "**yes**" if told else "not told"
    if len(told) == len(groups):
        return f"**yes**, at all {len(groups)} settings"
    if not told:
        return f"at none of {len(groups)} settings"
    return f"**yes** at {len(told)} of {len(groups)} settings ({'; '.join(escape(group.label) for group in told)})"
