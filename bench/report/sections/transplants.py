"""Transplants: what each attack finds where the network is another seed's, beside what it finds in its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.api import Section
from bench.registry import register
from bench.report.kit.groups import Group, axis_names
from bench.report.kit.page import Page
from bench.report.kit.text import NONE, attack_name, axis_heads, axis_labels, escape, hits, table, value_of
from bench.report.kit.transplants import ALPHA, FLAG, Transplants


@register
class InTransplants(Section):
    """What is found where the network is another seed's."""

    name: ClassVar[str] = "transplants"
    summary: ClassVar[str] = "what attacks find where the network is another seed's"
    title: ClassVar[str] = "### Transplants"

    def applies(self, page: Page) -> bool:
        """See Section."""
        return any(group.transplants for group in page.groups)

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return _lines([(group, group.transplants) for group in page.groups if group.transplants])


_LEVELLED = "Controls are counted as they are, or moved to the members' mean, whichever are hit more: the mean image tells of members."


def _lines(found: Sequence[tuple[Group, Transplants]]) -> list[str]:
    groups = [group for group, _ in found]
    names, headline = axis_names(groups), groups[0].headline
    counted = any(one.hits for _, one in found)
    both = f"{headline.counted[0]} : {headline.counted[1]} there"
    head = [*axis_heads(names), "attack", "networks", f"{headline.words}, own networks", "others' networks", *([both] if counted else [])]
    rows = [_row(group, one, names, counted) for group, one in found]
    first = len(axis_heads(names))
    wrong = list(dict.fromkeys(f"**{escape(group.attack)}**" for group in groups if group.flagged))
    count = sum(group.role != "control" for group in groups)
    said = f"Not from the weights: {', '.join(wrong)}." if wrong else f"All {count} lines of attacks find no more there than chance has it."
    failed = sum(one.failed for _, one in found)
    more = [f"On {failed} transplants an attack failed, which counts as nothing found.", ""] if failed else []
    return [
        "On one seed in four the attack is also given the same release with the network of another seed in it: other weights, the rest as",
        "it was. Who reads members off the weights finds nothing there. A line of an attack is",
        f"*{FLAG}* where members are above controls by more than chance has it (exact test, p < {ALPHA:g}), and with it all lines of",
        "that attack on this page. They have no rank and lead nothing.",
        *([_LEVELLED] if counted else []),
        "",
        said,
        "",
        *more,
        *table([*head, "p", "verdict"], rows, right=range(first + 1, first + 5 + counted)),
        "",
    ]


def _row(group: Group, one: Transplants, names: Sequence[str], counted: bool) -> list[str]:
    there = [" : ".join(hits(side) for side in one.hits) if one.hits else NONE] if counted else []
    verdict = "a control" if group.role == "control" else one.verdict
    p = NONE if one.p is None else f"{one.p:.1g}" if one.p < 0.095 else f"{one.p:.2f}"
    values = [value_of(group, one.own), value_of(group, one.other)]
    return [*axis_labels(group, names), attack_name(group), str(one.networks), *values, *there, p, verdict]
