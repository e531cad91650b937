"""Which of its look-alikes? Ranks of members and controls, without a threshold; beside them what membership alone would tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.api import Section
from bench.report.kit.groups import Group, axis_names
from bench.report.kit.page import Page
from bench.report.kit.text import NONE, attack_name, axis_heads, axis_labels, general, hits, number, table


class Ranks(Section):
    """See the module."""

    name: ClassVar[str] = "ranks"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        mine = [group for group in page.groups if _of(group, "rank_median") is not None]
        if not mine:
            return []
        names = axis_names(page.groups)
        head = axis_heads(names)
        columns = [
            *head, "attack", "median rank, members : controls", "members at rank 1", "controls at rank 1", "look-alikes", "membership AUC",
        ]  # fmt: skip
        return [
            "### Which of its look-alikes?",
            "",
            "Look-alikes are images of the same data set that are neither members nor controls, and that no attack is handed. A true image",
            "at rank 1 is nearer to a submission than any of them is (by NCC, each to the submission nearest to it; ties count against the",
            "attack). No threshold is in this. Chance, and what controls have to show: a median of half of the look-alikes, and a share of",
            "1 / (look-alikes + 1) at rank 1. Medians are means over seeds, counts are over all seeds.",
            "",
            "Membership is the AUC of the margin test (Smorodinsky et al.) on the same networks, and has nothing to do with the attack of",
            "the line. Whoever has an image already learns *that* the network saw it; reconstruction adds the image, for whoever has none.",
            "",
            *table(columns, [_line(group, names) for group in mine], right=range(len(head) + 1, len(columns))),
            "",
        ]


def _line(group: Group, names: Sequence[str]) -> list[str]:
    medians = [_of(group, f"rank_median{side}") for side in ("", "_controls")]
    return [
        *axis_labels(group, names),
        attack_name(group),
        " : ".join(NONE if value is None else f"{value:.4g}" for value in medians),
        hits(group.hits.get("first_members")),
        hits(group.hits.get("first_controls")),
        general(_of(group, "n_lookalikes")),
        number(_of(group, "margin_auc")),
    ]


def _of(group: Group, column: str) -> float | None:
    return group.means.get(column) if group.cell_ids else None
