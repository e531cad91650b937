"""``site``: a results folder as pages for a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.exits import OK
from bench.cli.folders import results_dir
from bench.cli.options import Plugins
from bench.cli.reading import load_plugins
from bench.regular import path_of
from bench.say import say


def site(
    plugin: Plugins = [],  # noqa: B006
    results: Annotated[str, typer.Option("--results", metavar="DIR", help="results folder (default: results/)")] = "",
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="where to (default: .reconbench/site); an earlier site there is replaced")
    ] = "",
) -> int:
    """Render the board for a browser."""
    load_plugins(plugin)
    from bench.home import home
    from bench.site import build

    built = build(results_dir(results), path_of(out) if out else home() / "site", say)
    for note in built.notes:
        say(note)
    print(f"{built.pages} pages, {built.size / 1e6:.1f} MB: open {built.folder / 'index.html'}")
    return OK
