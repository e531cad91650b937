"""The networks that were attacked: how well they learnt, and how near to a KKT point they came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.api import Section
from bench.report.kit.groups import Group, axis_names
from bench.report.kit.page import Page
from bench.report.kit.settings import facts, known
from bench.report.kit.text import NONE, axis_heads, axis_labels, general, seconds, spread, table


class Targets(Section):
    """See the module."""

    name: ClassVar[str] = "targets"
    title: ClassVar[str] = "### Targets"

    def lines(self, page: Page) -> list[str]:
        """See Section."""
        return _targets(page.groups)


def _targets(groups: Sequence[Group]) -> list[str]:
    names = axis_names(groups)
    lines = []
    for group, targets in facts(groups):
        label = axis_labels(group, names)
        losses, times = known(targets, "train_loss"), known(targets, "seconds_train")
        low, high = (general(end(losses)) if losses else NONE for end in (min, max))
        mine = [
            spread(known(targets, "train_accuracy"), 3),
            spread(known(targets, "test_accuracy"), 3),
            low if low == high else f"{low} to {high}",
            spread(known(targets, "epochs_run"), 0),
            spread(known(targets, "kkt_residual"), 3),
            seconds(sum(times) / len(times)) if times else NONE,
        ]
        lines.append([*label, str(len(targets)), *mine])
    head = axis_heads(names)
    columns = [*head, "targets", "train accuracy", "test accuracy", "train loss", "epochs run", "KKT residual", "training"]
    return [*table(columns, lines, right=range(len(head), len(columns))), ""]
