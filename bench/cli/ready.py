"""``check``, ``fetch``, ``doctor``: what comes before a run: plug-ins that keep their contract, files, surroundings."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.exits import OK, SOME_FAILED
from bench.cli.options import Plugins
from bench.cli.reading import load_plugins


def check(
    what: Annotated[str, typer.Argument(metavar="NAME|PATH", help="an attack, defence or data set by name, or a plug-in file")],
    plugin: Plugins = [],  # noqa: B006
) -> int:
    """Run the contract tests on a plug-in and print what passed."""
    load_plugins(plugin)
    from bench.check import check_plugin
    from bench.colour import show

    fine = True
    for title, outcomes in check_plugin(what):
        print(title)
        for outcome in outcomes:
            fine &= outcome.ok
            word = ("pass", "good") if outcome.ok else ("FAIL", "bad")
            show([("  ", ""), word, (f"  {outcome.name}" + (f": {outcome.detail}" if outcome.detail else ""), "")])
    show([("all passed", "good") if fine else ("some failed; the lines above say what was expected", "bad")])
    return OK if fine else SOME_FAILED


def fetch(what: Annotated[list[str], typer.Argument(metavar="NAME...", help="lpips, or data sets")]) -> int:
    """Download what is not embedded: LPIPS weights, data sets."""
    from bench.fetch import fetch as get

    print("\n".join(get(what)))
    return OK


def doctor() -> int:
    """Say what is here, and what to do about what is missing."""
    from bench.colour import show
    from bench.doctor import report as diagnose

    checks = diagnose()
    wide = max(len(check.name) for check in checks)
    for check in checks:
        status = (f"{check.status:<7}", {"ok": "good", "missing": "bad"}.get(check.status, "open"))
        show([status, (f"  {check.name:<{wide}}  {check.detail}" + (f"\n{'':<{wide + 11}}{check.todo}" if check.todo else ""), "")])
    return OK
