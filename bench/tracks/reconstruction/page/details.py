"""Other selections of the candidates, and every metric, members beside controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.api import Section
from bench.report.kit.groups import Group, axis_names
from bench.report.kit.page import Page
from bench.report.kit.text import NONE, attack_name, axis_heads, axis_labels, escape, general, hits, number, share, table
from bench.schema import metrics
from bench.tracks.reconstruction.page.ranking import lpips


class Details(Section):
    """See the module."""

    name: ClassVar[str] = "details"
    title: ClassVar[str] = "### Other selections and metrics"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return _details(page.groups)


def _details(groups: Sequence[Group]) -> list[str]:
    names = axis_names(groups)
    head = axis_heads(names)
    measured = [m for m in metrics() if m.headline and any(group.means.get(m.headline) is not None for group in groups)]
    columns = [
        *head, "attack", "members > 0.4 [95 % CI]", "controls > 0.4 [95 % CI]", "oracle members : controls", "nearest members : controls",
        "haim2022 members : controls", *(f"{m.statistics[0]} {escape(m.label)} members : controls" for m in measured),
        "precision members : controls", "submitted", "attack's loss", "peak memory",
    ]  # fmt: skip
    rows = []
    for group in groups:
        if not group.excess:
            continue
        m = group.means

        def both(name: str, decimals: int = 2) -> str:
            if name == "lpips_median" and m.get(name) is None:  # noqa: B023
                return lpips(group)  # noqa: B023
            return f"{number(m.get(name), decimals)} : {number(m.get(name + '_controls'), decimals)}"  # noqa: B023

        def pair(prefix: str) -> str:
            return f"{hits(group.hits.get(prefix + 'members'))} : {hits(group.hits.get(prefix + 'controls'))}"  # noqa: B023

        memory = m.get("peak_memory_mb")
        rows.append(
            [
                *axis_labels(group, names),
                attack_name(group),
                share(group.hits.get("members"), group.members),
                share(group.hits.get("controls"), group.controls),
                pair("oracle_"),
                pair("nn_"),
                pair("haim_"),
                *(both(one.headline, one.shown) for one in measured),
                both("precision"),
                general(m.get("n_submitted")),
                general(m.get("attack_loss")),
                NONE if memory is None else f"{memory:.0f} MiB",
            ]
        )
    if not rows:
        return ["No cell has scores.", ""]
    return [*table(columns, rows, right=range(len(head) + 1, len(columns))), ""]
