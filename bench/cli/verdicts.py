"""What came of a verification: its rows in a results folder, and a table with the verdicts in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.say import say

if TYPE_CHECKING:
    from bench.store.verified import Verified
    from bench.verify.run import Verification

STYLE = {"verified": "good", "open": "open", "flagged": "bad", "failed": "bad"}  # of ``bench.colour``


def publish_rows(rows: Sequence[Verified], folder: Path) -> None:
    """The rows into the folder's table, and its board made again where it has one."""
    from bench import publishing
    from bench.store import has_results
    from bench.store.verified import add_verified

    path = add_verified(folder, rows)
    if has_results(folder):
        publishing.render(folder, only_if_changed=True)
    say(f"verified rows are in {path}")


def tell(found: Verification) -> None:
    """A table, and the verdicts in words."""
    from tabulate import tabulate

    from bench.colour import show
    from bench.report.kit.groups import axis_of
    from bench.report.kit.text import NONE, clean

    def shown(value: Any) -> str:
        return NONE if value is None else f"{value:+.2f}"

    lines = []
    for row, one in found.lines:
        apart = one.difference if one else None
        lines.append(
            {
                "setting": clean((", ".join(axis_of(row).values()) or row["dataset_display"]).replace(", blind", ""), 40),
                "attack": clean(row["attack"], 40) + ("" if one else " (control)"),
                "public": shown(one.public.estimate if one and one.public else None),
                "blind": shown(row["blind"]),
                "difference": f"{apart.estimate:+.2f} [{apart.low:+.2f}, {apart.high:+.2f}]" if apart else NONE,
                "seeds": row["seeds"],
                "verdict": one.verdict if one else "",
            }
        )
    print(tabulate(lines, headers="keys", disable_numparse=True))
    for name, word in found.verdicts().items():
        reasons = list(dict.fromkeys(row.reason for row in found.rows if row.attack == name and row.reason and row.verdict == word))
        show([(f"{clean(name, 60)}: ", ""), (word, STYLE[word]), (f": {clean('; '.join(reasons), 400)}" if reasons else "", "")])
    kept = {row.isolation for row in found.rows}
    print(f"salt {found.salt_digest}; isolation of the attacks: {', '.join(sorted(kept))}")
    if kept & {"none", "imported"}:
        say("an attack that shares the process of its judge can find the secret there: read the code of a plug-in before you believe this")
    if found.left:
        say(f"the grid's budget of time is spent: {found.left} cells were left to run")
    if found.kept:
        say(f"the targets are in {found.kept}; delete them before another plug-in runs")
