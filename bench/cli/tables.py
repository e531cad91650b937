"""``report``, ``claims``, ``anatomy``, ``ridge``, ``merge``: what is made of a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.exits import OK
from bench.cli.folders import local_results, no_results, results_dir
from bench.cli.options import Out, Plugins
from bench.cli.reading import load_plugins
from bench.say import say


def report(plugin: Plugins = [], out: Out = "") -> int:  # noqa: B006
    """Render pages and figures from the Parquet files alone."""
    load_plugins(plugin)
    from bench.store import has_results

    folder = results_dir(out)
    if not has_results(folder):
        raise no_results(folder)
    from bench.publishing import render

    render(folder)
    print(folder / "leaderboard.md")
    return OK


def claims(plugin: Plugins = [], out: Out = "") -> int:  # noqa: B006
    """Test what the papers claim on the rows, and write claims.md."""
    load_plugins(plugin)
    from bench.claims.declarations import declared
    from bench.claims.findings import findings
    from bench.report import CLAIMS, claims_page
    from bench.store import atomic_write, has_results, load_results

    folder = results_dir(out) if out or not plugin else local_results()
    if not has_results(folder):
        raise no_results(folder)
    said, broken = declared()
    found = findings(*load_results(folder), said)
    path = folder / CLAIMS
    atomic_write(path, claims_page.page(found, broken).encode())
    for one in found:
        print(claims_page.line(one))
    for text in broken:
        say(text)
    print(path)
    return OK


def anatomy(
    dataset: Annotated[str, typer.Option("--dataset", metavar="NAME", help="data set (python -m bench ls)")] = "photo_tiles",
    activation: Annotated[
        list[str], typer.Option("--activation", metavar="NAME", help="training curves of this one; may be repeated (default: all)")
    ] = [],  # noqa: B006
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="the first of three")] = 0,
    out: Out = "",
) -> int:
    """Look inside networks: which units die, which weights remember."""
    from bench.anatomy import ACTIVATIONS
    from bench.anatomy import anatomy as look

    print(f"read {look(dataset, activation or ACTIVATIONS, seed, results_dir(out))}")
    return OK


def ridge(
    dataset: Annotated[str, typer.Option("--dataset", metavar="NAME", help="data set (python -m bench ls)")] = "photo_tiles",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="of the split and the noise")] = 0,
    out: Out = "",
) -> int:
    """Rebuild records from a regression with noise."""
    from bench.ridge import ridge as measure

    print(f"read {measure(dataset, seed, results_dir(out))}")
    return OK


def merge(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="results folders, or stores (.reconbench, s3://bucket/prefix)")],
    into: Annotated[str, typer.Option("--into", metavar="PATH", help="where to (default: results/ of this project)")] = "",
    on_conflict: Annotated[str, typer.Option("--on-conflict", metavar="last|best|refuse", help="when two rows of a cell differ")] = "last",
) -> int:
    """Merge rows of other machines into a folder or a store."""
    from bench import publishing, store
    from bench.files import is_uri, shown

    folder = into if is_uri(into) else results_dir(into)
    merged = store.merge(paths, folder, on_conflict)  # type: ignore[arg-type]
    print(f"{merged.rows} rows in {shown(folder)}: {merged.added} new, {len(merged.replaced)} replaced")
    if isinstance(folder, Path) and store.has_results(folder):
        print(f"read {publishing.render(folder)[0]}")
    return OK
