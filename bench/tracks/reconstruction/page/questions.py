"""How many questions give the training set away: members rebuilt against the answers that the network gave."""

from __future__ import annotations

from typing import ClassVar

from bench.api import Section
from bench.report.kit.groups import Group, axis_names
from bench.report.kit.page import Page
from bench.report.kit.text import attack_name, axis_heads, axis_labels, general, hits, interval, table


class Questions(Section):
    """See the module. For grids in which attacks ask at two or more numbers of questions."""

    name: ClassVar[str] = "questions"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        asked = sorted(
            ((group.axis_index, group.label, used, group) for group in page.groups if (used := _used(group)) is not None),
            key=lambda one: (*one[:3], one[3].name),
        )
        if len({used for _, _, used, _ in asked}) < 2:
            return []
        names = axis_names(page.groups)
        head = axis_heads(names)
        columns = [*head, "attack", "answers", "members", "controls", "excess recall [95 % CI]", "seeds"]
        rows = [
            [
                *axis_labels(group, names),
                attack_name(group),
                general(used),
                hits(group.hits.get("members")),
                hits(group.hits.get("controls")),
                interval(group.excess),
                str(len(group.cell_ids)),
            ]
            for _, _, used, group in asked
        ]
        return [
            "### How many questions give the training set away?",
            "",
            "These attacks see no weights: the network only answers. A gradient is one answer, and so are the outputs for one image.",
            "Members and controls are those rebuilt, over all seeds; answers are the mean over seeds.",
            "",
            *table(columns, rows, right=range(len(head) + 1, len(columns))),
            "",
        ]  # fmt: skip


def _used(group: Group) -> float | None:
    return group.means.get("queries_used") if group.excess is not None else None
