"""``run``: train, attack, score, publish, compare."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from bench.cli import options
from bench.cli.again import typed_again
from bench.cli.exits import OK, interrupt_on_sigterm, of_run
from bench.cli.folders import local_results, probe, results_dir, shadows
from bench.cli.reading import check_jobs, check_memory, cluster_of, load_packages, load_plugins, room_of, seconds_of
from bench.cli.summary import counts, failures, show_plan, tell
from bench.errors import BenchError
from bench.say import say

if TYPE_CHECKING:
    from bench.grids.read import Loaded


def run(
    context: typer.Context,
    grid: options.Grid,
    attack: options.Attacks = [],  # noqa: B006
    set_: options.Set = [],  # noqa: B006
    seeds: options.Seeds = "",
    scale: options.Scale = "",
    runs: options.Runs = None,
    device: options.Device = "auto",
    jobs: options.Jobs = None,
    timeout: options.Timeout = "",
    executor: options.Executor = "local",
    address: options.Address = "",
    gpus: options.Gpus = None,
    limit: options.Limit = None,
    memory: options.Memory = None,
    dry_run: options.DryRun = False,
    no_cache: options.NoCache = False,
    retry: options.Retry = "",
    republish: options.Republish = False,
    pdb: options.Pdb = False,
    plugin: options.Plugins = [],  # noqa: B006
    out: options.Out = "",
    sandbox: options.Sandbox = "auto",
    json: options.Json = False,
) -> int:
    """Run a grid: train, attack, score, publish, compare. Does only what is not done yet."""
    began = time.monotonic()
    from bench.grids.read import load
    from bench.grids.select import override, select_attacks, select_seeds

    if retry not in ("", "failed"):
        raise BenchError(f"--retry {retry}: not understood", expected="--retry failed", got=repr(retry))
    if limit is not None and limit < 1:
        raise BenchError(f"--limit {limit}: not understood", expected="a number of cells, 1 or more", got=str(limit))
    check_memory(memory)
    check_jobs(jobs)
    seconds = seconds_of(timeout) if timeout else None
    if pdb and ((jobs or 1) != 1 or seconds is not None or json or executor != "local"):
        raise BenchError(
            "--pdb works in one process, which has the terminal to itself",
            expected="-j 1, without --timeout and without --json",
            hint="--pdb --attack NAME --retry failed, for cells that have failed before",
        )
    cluster = cluster_of(executor, address, gpus, device)
    room = room_of(sandbox, pdb, device)
    if room is not None:
        context.call_on_close(room.close)
    brought = load_plugins(plugin, room)
    loaded = load(grid, scale=scale)
    own = [spec.name for spec in loaded.grid.attacks]
    load_packages([*own, *attack], room)
    changed = override(loaded.grid, set_)
    changed = select_seeds(changed, seeds) if seeds else changed
    changed = select_attacks(changed, attack, extra=brought)
    others = [spec.name for spec in changed.attacks] != own
    if runs is not None:
        from bench.engine.runs import with_runs

        changed = with_runs(changed, runs)
    loaded = _with(loaded, changed, set_)

    from bench.engine import run as engine
    from bench.engine import stored
    from bench.engine.plan import Plan, plan
    from bench.engine.rescore import rescore
    from bench.store import has_results

    where = engine.pick_device("cpu" if cluster else device)
    rows = stored.store()

    def laid_out() -> Plan:
        return plan(loaded, stored.known(rows), no_cache=no_cache, retry=retry == "failed", limit=limit)

    planned = laid_out()
    answered = [] if no_cache else stored.scorable(planned, rows)
    if dry_run:
        show_plan(planned, json, len(answered))
        return OK

    narrowing = (
        ("--set", set_),
        ("--seeds", seeds),
        ("--limit", limit),
        ("--runs", runs),
        ("--plugin", plugin),
        ("--attack", attack and others),
    )
    why = [name for name, given in narrowing if given]
    why += ["a grid file that bears a built-in grid's name"] if shadows(loaded) else []
    published = results_dir("")
    folder = results_dir(out) if out or not why else local_results()
    against = folder if out and has_results(folder) else published
    if republish and folder.resolve() != published.resolve():
        raise BenchError(
            f"--republish is for the published table, {published}",
            expected="a grid as a whole, without --out",
            got=", ".join([*why, *(["--out"] if out else [])]),
            hint="leave it out: elsewhere the rows of a run always replace older ones",
        )
    if why and not out:
        say(f"with {', '.join(why)} results go to {folder}, so that the published table stays one of whole grids (--out to choose)")

    from bench import publishing
    from bench.engine.debug import post_mortem
    from bench.engine.progress import Lines, choose

    probe(folder)
    interrupt_on_sigterm()
    if answered:
        rescore(rows, None, choose(), only=answered)
        planned = laid_out()
    summary = engine.run(
        planned,
        rows,
        where,
        Lines() if pdb else choose(),
        no_cache=no_cache,
        memory_gib=memory,
        jobs=jobs if cluster else jobs or 1,
        timeout=seconds,
        cluster=cluster,
        debug=post_mortem if pdb else None,
        room=room,
    )
    again, pages = typed_again(context), 0.0
    result: dict[str, Any] = {"grid": planned.grid, "cells": counts(summary), "failures": failures(summary)}
    if summary.interrupted:
        done = summary.ok + summary.failed
        say(f"interrupted: {done} cells finished in this run are kept, {summary.left} are left; resume with\n  {again}")
    else:
        keep = not republish and folder.resolve() == published.resolve()
        publishes = time.monotonic()
        collected = stored.collect(planned, rows)
        result |= publishing.publish(planned, *collected, rows, folder, against, json, keep=keep, alone=not out and bool(why))
        pages = time.monotonic() - publishes
    total = time.monotonic() - began
    result |= {"seconds": total, "seconds_cells": summary.seconds, "seconds_pages": pages}
    tell(summary, again, total, pages)
    code = of_run(summary)
    if json:
        import json as json_module

        print(json_module.dumps({**result, "exit_code": code}))
    return code


def _with(loaded: Loaded, grid: Any, overrides: Sequence[str]) -> Loaded:
    import dataclasses

    from bench.grids.points import expand

    expand(grid, loaded.source)
    return dataclasses.replace(loaded, grid=grid, overrides=tuple(overrides))
