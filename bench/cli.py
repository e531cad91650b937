"""The command line: ``python -m bench run | ls | info | report | claims | score | audit | check | merge | fetch | doctor | anatomy``.

Nothing heavy is imported at the top, so that ``--help`` and ``ls`` answer at once. Exit codes:

===  ====================================================================================================
0    all fine
1    wrong usage, or surroundings that do not allow it (a missing data set, a full disk): one message, on stderr
2    some cells failed, or are left to run because a budget was spent; a failed ``check``; cells that ``score`` could not score;
     an ``audit`` in which an attack failed, or that is inconclusive; with ``--fail-above`` also one that found more (without it what is
     found makes no difference)
3    a fault in this program: one line, and the traceback with ``--debug`` or ``RECONBENCH_DEBUG=1``
130  interrupted; after ``run`` and ``score`` finished cells are kept, and the same command resumes
===  ====================================================================================================
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench import streams
from bench.errors import BenchError, did_you_mean
from bench.say import say

if TYPE_CHECKING:
    import pandas as pd

    from bench.engine.executors.cluster import Cluster
    from bench.engine.plan import Plan
    from bench.engine.run import Summary
    from bench.grids.load import Loaded

PROJECT = Path(__file__).resolve().parent.parent
OK, USAGE, SOME_FAILED, BUG, INTERRUPTED = 0, 1, 2, 3, 130
ONCE = ("--no-cache", "--retry", "--pdb", "--json")  # options that the command which resumes a run leaves out

app = typer.Typer(
    name="bench",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="What a trained network gives away about its training data: attacks, controls, leaderboard.",
)

Plugins = Annotated[list[str], typer.Option("--plugin", metavar="PATH", help="Python file with @register'ed classes; may be repeated")]
Out = Annotated[
    str, typer.Option("--out", metavar="DIR", help="results folder (default: results/, or .reconbench/results for part of a grid)")
]
Dataset = Annotated[
    str, typer.Option("--dataset", metavar="NAME", help="members and controls as a setting draws them; with --members: controls alone")
]
DrawnSet = Annotated[
    list[str], typer.Option("--set", metavar="FIELD=VALUE", help="of that setting, as in n_per_class=250; may be repeated")
]
DrawnSeed = Annotated[int, typer.Option("--seed", metavar="N", help="of that draw")]
Members = Annotated[
    str,
    typer.Option(
        "--members", metavar="PATH", help="the training images: a folder of pictures, .npy, .npz, .pth, .safetensors, parquet:PATH"
    ),
]
Controls = Annotated[
    str, typer.Option("--controls", metavar="PATH", help="images of the same kind that were never trained on, at least as many")
]
Labels = Annotated[str, typer.Option("--labels", metavar="FILE", help="labels of --members, where sub-folders do not give them")]


@app.callback()
def _main(
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks (also RECONBENCH_DEBUG=1)")] = False,
    version: Annotated[bool, typer.Option("--version", help="print the version and stop")] = False,
) -> None:
    """Options before the command. ``--debug`` is read in ``main``, where it may stand anywhere."""


@app.command()
def run(
    context: typer.Context,
    grid: Annotated[str, typer.Option("--grid", metavar="NAME|FILE.yaml", help="which grid (python -m bench ls)")],
    attack: Annotated[list[str], typer.Option("--attack", metavar="NAME", help="only this attack; may be repeated")] = [],  # noqa: B006
    set_: Annotated[
        list[str], typer.Option("--set", metavar="FIELD=VALUE", help="override a setting field; an axis of that name shrinks to it")
    ] = [],  # noqa: B006
    seeds: Annotated[str, typer.Option("--seeds", metavar="LIST", help="these seeds: 0 or 0,2 or 0-4 (a list, not a count)")] = "",
    scale: Annotated[str, typer.Option("--scale", metavar="small|full", help="a scale of the grid (python -m bench info GRID)")] = "",
    runs: Annotated[
        int | None,
        typer.Option("--runs", metavar="N", help="sweep: N runs a cell with drawn hyperparameters, candidates pooled; resumes run by run"),
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="where to train and attack")] = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            metavar="N",
            help="worker processes, each with a GPU of its own where there are several; 1, the default: none; on Ray: as many as have room",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        str,
        typer.Option("--timeout", metavar="10m", help="kill what takes longer (90s, 10m, 1h): a training, or the cells that run together"),
    ] = "",
    executor: Annotated[str, typer.Option("--executor", metavar="local|ray", help="run on this machine, or on a Ray cluster")] = "local",
    address: Annotated[
        str,
        typer.Option(
            "--address", metavar="HOST:PORT", help="with ray: the cluster's head, auto, or local (default: $RAY_ADDRESS, else local)"
        ),
    ] = "",
    gpus: Annotated[
        float | None,
        typer.Option("--gpus-per-worker", metavar="SHARE", help="with ray: 0.25: four workers on a GPU (default: 1)", show_default=False),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", help="the first N cells of the plan only")] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory",
            metavar="GIB",
            help="what stacks of runs may take, all workers together (default: half of what is free)",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list the cells and what would become of each; run nothing")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="train and attack again even where a result is here")] = False,
    retry: Annotated[str, typer.Option("--retry", metavar="failed", help="'failed': run the cells again that failed before")] = "",
    republish: Annotated[
        bool, typer.Option("--republish", help="replace rows of the published table also where this run agrees with them (for maintainers)")
    ] = False,
    pdb: Annotated[bool, typer.Option("--pdb", help="open Python's debugger where an attack raises an exception; with -j 1 alone")] = False,
    plugin: Plugins = [],  # noqa: B006
    out: Out = "",
    json: Annotated[bool, typer.Option("--json", help="print one JSON summary on stdout, everything else on stderr")] = False,
) -> int:
    """Run a grid: train, attack, score, publish, compare. Does only what is not done yet."""
    began = time.monotonic()
    from bench.grids.load import load, override, select_attacks, select_seeds

    if retry not in ("", "failed"):
        raise BenchError(f"--retry {retry}: not understood", expected="--retry failed", got=repr(retry))
    if limit is not None and limit < 1:
        raise BenchError(f"--limit {limit}: not understood", expected="a number of cells, 1 or more", got=str(limit))
    _check_memory(memory)
    if jobs is not None and not 1 <= jobs <= 512:
        raise BenchError(f"--jobs {jobs}: not understood", expected="worker processes, 1 to 512", got=str(jobs), hint="-j 4")
    seconds = _seconds(timeout) if timeout else None
    if pdb and ((jobs or 1) != 1 or seconds is not None or json or executor != "local"):
        raise BenchError(
            "--pdb works in one process, which has the terminal to itself",
            expected="-j 1, without --timeout and without --json",
            hint="--pdb --attack NAME --retry failed, for cells that have failed before",
        )
    cluster = _cluster(executor, address, gpus, device)
    brought = _load_plugins(plugin)
    loaded = load(grid, scale=scale)
    own = [spec.name for spec in loaded.grid.attacks]
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
    from bench.engine.plan import plan

    where = engine.pick_device("cpu" if cluster else device)
    rows = stored.store()
    planned = plan(loaded, stored.known(rows), no_cache=no_cache, retry=retry == "failed", limit=limit)
    if dry_run:
        _show_plan(planned, json)
        return OK

    options = (
        ("--set", set_),
        ("--seeds", seeds),
        ("--limit", limit),
        ("--runs", runs),
        ("--plugin", plugin),
        ("--attack", attack and others),
    )
    why = [name for name, given in options if given]
    why += ["a grid file that bears a built-in grid's name"] if _shadows(loaded) else []
    published = _results_dir("")
    folder = _results_dir(out) if out or not why else _local_results()
    against = folder if out and (folder / "scores.parquet").exists() else published
    if republish and folder.resolve() != published.resolve():
        raise BenchError(
            f"--republish is for the published table, {published}",
            expected="a grid as a whole, without --out",
            got=", ".join([*why, *(["--out"] if out else [])]),
            hint="leave it out: elsewhere the rows of a run always replace older ones",
        )
    if why and not out:
        say(f"with {', '.join(why)} results go to {folder}, so that the published table stays one of whole grids (--out to choose)")

    from bench.engine.debug import post_mortem
    from bench.engine.progress import Lines, choose

    _interrupt_on_sigterm()
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
    )
    again = _again(context)
    result: dict[str, Any] = {"grid": planned.grid, "cells": _counts(summary), "failures": _failures(summary)}
    if summary.interrupted:
        done = summary.ok + summary.failed
        say(f"interrupted: {done} cells finished in this run are kept, {summary.left} are left; resume with\n  {again}")
    else:
        keep = not republish and folder.resolve() == published.resolve()
        result |= _publish(planned, folder, against, json, keep=keep, alone=not out and bool(why))
    total = time.monotonic() - began
    result |= {"seconds": total, "seconds_cells": summary.seconds, "seconds_pages": result.pop("seconds_pages", 0.0)}
    _tell(summary, again, total, result["seconds_pages"])
    if json:
        import json as json_module

        print(json_module.dumps({**result, "exit_code": summary.exit_code}))
    return summary.exit_code


@app.command(name="ls")
def list_(plugin: Plugins = []) -> int:  # noqa: B006
    """List grids, attacks, controls, defences, metrics and data sets."""
    from bench import registry
    from bench.grids.load import titles

    _load_plugins(plugin)
    attacks = registry.entries("attack")
    kinds: list[tuple[str, list[tuple[str, str, str]]]] = [
        ("grids", [(name, "", question) for name, question in titles().items()]),
    ]
    for title, role in (("attacks", "attack"), ("controls", "control")):
        mine = [e for e in attacks.values() if (e.facts or {}).get("role", "attack") == role]
        kinds.append((title, [(e.name, _access(e.facts or {}), e.summary) for e in mine]))
    kinds.append(("defences", [(e.name, "", e.summary) for e in registry.entries("defense").values()]))
    kinds.append(("metrics", [(e.name, "", e.summary) for e in registry.entries("metric").values()]))
    kinds.append(("data sets", [(e.name, "", e.summary) for e in registry.entries("data").values()]))
    for title, lines in kinds:
        print(f"{title}:")
        wide = max((len(name) for name, _, _ in lines), default=0)
        for name, facts, text in lines:
            print(f"  {name:<{wide}}  {text}" + (f"  [{facts}]" if facts else ""))
        if not lines:
            print("  (none)")
    return OK


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="an attack, defence, metric, data set or grid; a field; a column; 'setting'; 'schema'")],
    plugin: Plugins = [],  # noqa: B006
) -> int:
    """Say all about one plug-in, data set, grid or field."""
    from bench import registry
    from bench.api import Setting
    from bench.grids.load import builtin, options_of

    _load_plugins(plugin)
    if name == "schema":
        from bench.store import describe_schema

        print(describe_schema())
        return OK
    parts: list[str] = []
    if name == "setting":
        parts.append("\n".join(_field(field) for field in Setting.model_fields))
    if name in Setting.model_fields:
        parts.append("setting field " + _field(name))
    if name in builtin() or name.endswith((".yaml", ".yml")):
        parts.append(_grid_info(name))
    known: dict[str, None] = dict.fromkeys(["setting", "schema", *builtin(), *Setting.model_fields])
    for kind in registry.WORDS:
        entries = registry.entries(kind)
        known |= dict.fromkeys(entries)
        if name.partition(":")[0] in entries:
            parts.append(_plugin_info(kind, name))
    if not parts:
        from bench.schema import described

        parts += described(name)
    if not parts:
        raise BenchError(
            f"unknown name '{name}'.{did_you_mean(name, known)}",
            expected="an attack, defence, metric, data set, grid, setting field, column of the tables, 'setting' or 'schema'",
            got=repr(name),
            hint=f"python -m bench info {meant[1]}" if (meant := options_of(name).split()) else "python -m bench ls",
        )
    print("\n\n".join(parts))
    return OK


@app.command()
def report(plugin: Plugins = [], out: Out = "") -> int:  # noqa: B006
    """Render pages and figures from the Parquet files alone."""
    _load_plugins(plugin)
    folder = _results_dir(out)
    if not (folder / "scores.parquet").exists():
        raise _no_results(folder)
    _render(folder)
    print(folder / "leaderboard.md")
    return OK


@app.command()
def claims(plugin: Plugins = [], out: Out = "") -> int:  # noqa: B006
    """Test what the papers claim on the rows, and write claims.md."""
    _load_plugins(plugin)
    from bench.report import CLAIMS, claims_page
    from bench.report.claims import findings
    from bench.report.declarations import declared
    from bench.store import atomic_write, load_results

    folder = _results_dir(out) if out or not plugin else _local_results()
    if not (folder / "scores.parquet").exists():
        raise _no_results(folder)
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


@app.command()
def score(
    context: typer.Context,
    grid: Annotated[str, typer.Option("--grid", metavar="NAME", help="only this grid's cells")] = "",
    plugin: Plugins = [],  # noqa: B006
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="results folder; with --reconstructions: write page, pictures and rows there")
    ] = "",
    reconstructions: Annotated[
        list[str],
        typer.Option(
            "--reconstructions",
            metavar="FILE",
            help="score a file instead: .pth, .safetensors, .npy, .npz or a folder of pictures; several are pooled",
        ),
    ] = [],  # noqa: B006
    dataset: Dataset = "",
    set_: DrawnSet = [],  # noqa: B006
    seed: DrawnSeed = 0,
    members: Members = "",
    controls: Controls = "",
    labels: Labels = "",
    add_mean: Annotated[
        str,
        typer.Option(
            "--add-mean",
            metavar="auto|members|none|FILE",
            help="what centred reconstructions lack; auto: the members' mean if many values are below 0",
        ),
    ] = "auto",
    rescale: Annotated[bool, typer.Option("--rescale", help="scale each reconstruction by its own extremes to [0, 1]")] = False,
    submit: Annotated[
        int | None,
        typer.Option("--submit", metavar="N", help="the first N count as the answer (default: two a member)", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="with --reconstructions: print one JSON object on stdout")] = False,
) -> int:
    """Score reconstructions, kept here or anyone's. Attacks nothing; those kept here are published again."""
    _load_plugins(plugin)
    if reconstructions:
        if grid:
            raise BenchError("--grid and --reconstructions do not go together", expected="one of them")
        return _score_files(reconstructions, (dataset, set_, seed, members, controls, labels), add_mean, rescale, submit, out, json)
    loose = (
        ("--dataset", dataset),
        ("--set", set_),
        ("--members", members),
        ("--controls", controls),
        ("--labels", labels),
        ("--json", json),
    )
    for option, given in (*loose, ("--rescale", rescale), ("--submit", submit), ("--add-mean", add_mean != "auto"), ("--seed", seed)):
        if given:
            raise BenchError(f"{option} without --reconstructions", expected="--reconstructions FILE, or neither")
    from bench.engine import rescore, stored
    from bench.engine.progress import choose
    from bench.grids.load import options_of

    rows = stored.store()
    frame = rows.rows()
    names = sorted(set(frame["grid"]))
    if not grid and not (frame["status"] == "ok").any():
        raise BenchError(
            "nothing to score: no cell has been attacked here",
            expected=f"rows of finished cells in {rows}",
            hint="python -m bench run --grid quick, which keeps its reconstructions; or set RECONBENCH_HOME to where they are",
        )
    if grid and grid not in names:
        raise BenchError(
            f"no rows of grid '{grid}' here.{did_you_mean(grid, names)}",
            expected="one of " + (", ".join(names) or "(nothing has run yet)"),
            hint=f"python -m bench run {options_of(grid) or f'--grid {grid}'}",
        )
    try:
        fresh, missing = rescore.rescore(rows, grid or None, choose())
    except KeyboardInterrupt:
        say(f"interrupted: cells scored so far are kept; resume with\n  {_again(context)}")
        return INTERRUPTED
    if fresh:
        held = {_results_dir(out): fresh} if out else _owners(fresh, (_results_dir(""), _local_results()))
        for folder, own in held.items():
            _publish_rows(own, rows.images([row["cell_id"] for row in own]), folder)
    left = sum(map(len, missing.values()))
    print(f"{len(fresh)} {'cell' if len(fresh) == 1 else 'cells'} scored again" + (f", {left} not" if left else ""))
    _say_grouped("missing", missing)
    return SOME_FAILED if missing else OK


@app.command()
def audit(
    checkpoint: Annotated[
        str,
        typer.Argument(metavar="CHECKPOINT", help="state dict of a fully connected or convolutional network: .pth, .pt or .safetensors"),
    ],
    members: Members = "",
    controls: Controls = "",
    labels: Labels = "",
    dataset: Dataset = "",
    set_: DrawnSet = [],  # noqa: B006
    seed: DrawnSeed = 0,
    attack: Annotated[
        list[str], typer.Option("--attack", metavar="NAME", help="this attack; may be repeated (default: the KKT attacks)")
    ] = [],  # noqa: B006
    runs: Annotated[
        int, typer.Option("--runs", metavar="N", help="runs an attack, hyperparameters drawn from the ranges that it declares")
    ] = 1,
    param: Annotated[
        list[str], typer.Option("--param", metavar="NAME=VALUE", help="hyperparameter of the attacks, as in steps=500; may be repeated")
    ] = [],  # noqa: B006
    mean: Annotated[
        str,
        typer.Option(
            "--mean", metavar="members|none|FILE", help="what the network subtracts from its input (default: the members' mean, else grey)"
        ),
    ] = "",
    activation: Annotated[str, typer.Option("--activation", metavar="NAME", help="after each hidden layer (default: relu)")] = "",
    loss: Annotated[str, typer.Option("--loss", metavar="NAME", help="training loss (default: bce for one output, else ce)")] = "",
    shape: Annotated[str, typer.Option("--shape", metavar="CxHxW", help="of the input (default: the members', or a guess)")] = "",
    pooling: Annotated[str, typer.Option("--pooling", metavar="NAME", help="of a convolutional network: stride, max, avg or none")] = "",
    n_train: Annotated[
        int | None,
        typer.Option("--n-train", metavar="N", help="how many images it was trained on (default: the members)", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="where to attack")] = "auto",
    memory: Annotated[
        float | None,
        typer.Option("--memory", metavar="GIB", help="what a stack of runs may take (default: half of what is free)", show_default=False),
    ] = None,
    fail_above: Annotated[
        float | None,
        typer.Option(
            "--fail-above",
            metavar="X",
            help="exit code 2 if an attack's excess recall is above X",
            show_default=False,
        ),
    ] = None,
    plugin: Plugins = [],  # noqa: B006
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="where page, pictures and candidates go (default: .reconbench/audits/NAME)")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="print one JSON object on stdout")] = False,
) -> int:
    """Say what a checkpoint gives away. Attacks it, and scores what comes back beside controls."""
    _load_plugins(plugin)
    from bench.artefacts.images import parse_shape
    from bench.artefacts.truth import own_members
    from bench.audit import audit as auditor
    from bench.audit import page
    from bench.audit.asked import truth_of
    from bench.engine.run import pick_device
    from bench.files import Folder
    from bench.home import home

    _check_memory(memory)
    if fail_above is not None and not -1 <= fail_above <= 1:  # not so of NaN, above which nothing is
        got = f"{fail_above:g}"
        raise BenchError(f"--fail-above {got}: not understood", expected="a number in [-1, 1]", got=got, hint="--fail-above 0.05")
    known = not members or bool(controls or dataset)
    form = parse_shape(shape)
    truth = truth_of(dataset, set_, seed, members, controls, labels, form) if known else None
    if fail_above is not None and truth is None:
        raise BenchError("--fail-above has nothing to score", expected="--members with --controls or --dataset, or --dataset alone")
    where = pick_device(device)
    subject = auditor.subject_of(
        checkpoint, truth=truth, members=None if known else own_members(members, labels, form), mean=mean, shape=form,
        activation=activation, loss=loss, pooling=pooling, n_train=n_train, device=where,
    )  # fmt: skip
    planned = auditor.plan(attack, runs, param)
    folder = Path(out).expanduser() if out else auditor.folder_for(checkpoint, home() / "audits")
    Folder(folder).probe()  # what cannot be written is better known before an hour of attacks than after
    for line in auditor.described(subject):
        say(line)
    report = auditor.attack(subject, planned, seed=seed, memory_gib=memory, say=say)
    written = auditor.write(report, folder, checkpoint)
    code = report.exit_code(fail_above)
    if json:
        import json as json_module

        print(json_module.dumps({**auditor.as_json(report, checkpoint), "read": str(written), "exit_code": code}))
    else:
        if truth is not None:
            print(page.in_text(page.HEAD_MANY, page.many(report.judged)))
        print(f"read {written}\n{report.verdict.sentence()}")
    return code


@app.command()
def check(
    what: Annotated[str, typer.Argument(metavar="NAME|PATH", help="an attack, defence or data set by name, or a plug-in file")],
    plugin: Plugins = [],  # noqa: B006
) -> int:
    """Run the contract tests on a plug-in and print what passed."""
    _load_plugins(plugin)
    from bench.check import check_plugin

    fine = True
    for title, outcomes in check_plugin(what):
        print(title)
        for outcome in outcomes:
            fine &= outcome.ok
            print(f"  {'pass' if outcome.ok else 'FAIL'}  {outcome.name}" + (f": {outcome.detail}" if outcome.detail else ""))
    print("all passed" if fine else "some failed; the lines above say what was expected")
    return OK if fine else SOME_FAILED


@app.command()
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

    print(f"read {look(dataset, activation or ACTIVATIONS, seed, _results_dir(out))}")
    return OK


@app.command()
def merge(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="results folders, or stores (.reconbench, s3://bucket/prefix)")],
    into: Annotated[str, typer.Option("--into", metavar="PATH", help="where to (default: results/ of this project)")] = "",
    on_conflict: Annotated[str, typer.Option("--on-conflict", metavar="last|best|refuse", help="when two rows of a cell differ")] = "last",
) -> int:
    """Merge rows of other machines into a folder or a store."""
    from bench import store
    from bench.files import is_uri, shown

    folder = into if is_uri(into) else _results_dir(into)
    merged = store.merge(paths, folder, on_conflict)  # type: ignore[arg-type]
    print(f"{merged.rows} rows in {shown(folder)}: {merged.added} new, {len(merged.replaced)} replaced")
    if isinstance(folder, Path) and (folder / "scores.parquet").exists():
        print(f"read {_render(folder)[0]}")
    return OK


@app.command()
def fetch(what: Annotated[list[str], typer.Argument(metavar="NAME...", help="lpips, or data sets")]) -> int:
    """Download what is not embedded: LPIPS weights, data sets."""
    from bench.fetch import fetch as get

    print("\n".join(get(what)))
    return OK


@app.command()
def doctor() -> int:
    """Say what is here, and what to do about what is missing."""
    from bench.doctor import report as diagnose

    checks = diagnose()
    wide = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{check.status:<7}  {check.name:<{wide}}  {check.detail}" + (f"\n{'':<{wide + 11}}{check.todo}" if check.todo else ""))
    return OK


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code; every foreseeable fault becomes one message on stderr."""
    streams.prepare()
    code = _answer(list(sys.argv[1:] if argv is None else argv))
    lost = streams.fault()
    if lost is not None and code == OK:
        say(str(BenchError("what was printed could not be written", expected="a standard output with room", got=str(lost))))
        return USAGE
    return code


def _answer(words: list[str]) -> int:
    """The exit code of one command."""
    debug = "--debug" in words or os.environ.get("RECONBENCH_DEBUG", "") not in ("", "0")
    words = [word for word in words if word != "--debug"]
    empty = next((i for i, word in enumerate(words) if not word or (word.startswith("--") and word.endswith("="))), None)
    if empty is not None:  # such as a variable of the shell that is not set, which would mean the default here
        before = words[empty - 1] if empty and not words[empty] else words[empty]
        say(
            str(BenchError(f"an argument is empty, after or in '{before}'", expected="a value", got="nothing", hint="leave the option out"))
        )
        return USAGE
    if words == ["--version"]:
        from bench import __version__

        print(__version__)
        return OK
    try:
        if words[:1] not in (["ls"], ["info"], ["doctor"]) and not {"--help", "-h"} & {*words} and words:
            from bench import posix

            posix.check()
        command = typer.main.get_command(app)  # called by itself, since typer's own main turns Ctrl-C and closed pipes into exit codes
        with command.make_context("python -m bench", words, obj=words) as context:
            code = command.invoke(context)
        return code if isinstance(code, int) else OK
    except typer.Exit as done:  # --help
        return done.exit_code
    except BenchError as error:
        if debug:
            raise
        say(str(error))
        return USAGE
    except KeyboardInterrupt:
        resumes = words[:1] in (["run"], ["score"]) and "--reconstructions" not in words
        say("interrupted" + ("; finished cells are kept, the same command resumes" if resumes else ", nothing was kept of it"))
        return INTERRUPTED
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of typer; its class moved between versions
            text = error.format_message()
            say(text if text.startswith("Usage:") else f"{text}\n  try:      python -m bench {_help_of(words)}--help")
            return USAGE
        if debug:
            raise
        say(f"unexpected {type(error).__name__}: {error}\n  try:      the same command with --debug, and report what it shows")
        return BUG


# ----------------------------------------------------------------------------------------------------------------- running


def _help_of(words: Sequence[str]) -> str:
    names = {command.name or (command.callback.__name__ if command.callback else "") for command in app.registered_commands}
    return f"{words[0]} " if words and words[0] in names else ""


def _load_plugins(paths: Iterable[str]) -> list[str]:
    """Loads the files and returns the names of the attacks in them."""
    if not paths:
        return []
    from bench import registry

    return [entry.name for path in paths for entry in registry.load_plugin(path) if entry.kind == "attack"]


def _with(loaded: Loaded, grid: Any, overrides: Sequence[str]) -> Loaded:
    import dataclasses

    from bench.grids.load import expand

    expand(grid, loaded.source)
    return dataclasses.replace(loaded, grid=grid, overrides=tuple(overrides))


def _no_results(folder: Path) -> BenchError:
    """What a command says that reads a results folder without any."""
    return BenchError(
        f"no results in {folder}",
        expected="scores.parquet",
        got="none",
        hint=f"python -m bench run --grid quick --out {shlex.quote(str(folder))}",
    )


def _check_memory(memory: float | None) -> None:
    if memory is not None and not 0 < memory < float("inf"):  # not so of NaN
        raise BenchError(f"--memory {memory}: not understood", expected="GiB, more than 0", got=str(memory), hint="--memory 2")


def _shadows(loaded: Loaded) -> bool:
    """Whether a user's file would write into the page of a built-in grid."""
    from bench.grids.load import builtin

    mine = builtin().get(loaded.grid.name)
    return mine is not None and mine != Path(loaded.source).resolve()


def _score_files(
    files: Sequence[str], asked: tuple[str, Sequence[str], int, str, str, str], add_mean: str, rescale: bool, submit: int | None, out: str,
    as_json: bool,
) -> int:  # fmt: skip
    """``score --reconstructions``: prints the judgement, and writes it where ``--out`` says."""
    from bench.audit import page, scoring
    from bench.audit.asked import truth_of

    truth = truth_of(*asked)
    if truth is None:
        raise BenchError(
            "--reconstructions against which images?",
            expected="--dataset NAME (members and controls as a setting draws them), or --members PATH with --controls PATH",
            hint="--dataset cifar10 --set n_per_class=250 --seed 0",
        )
    judged, notes = scoring.judge_files(files, truth, add_mean=add_mean, rescale=rescale, submit=submit)
    assert judged.row is not None
    notes = [*truth.notes, *notes]
    for note in notes:
        say(note)
    if judged.row["lpips_reason"]:
        say(f"no LPIPS: {judged.row['lpips_reason']}")
    if as_json:
        import json

        print(json.dumps({"name": judged.name, "notes": notes, **page.facts(judged.row)}))
    else:
        print(page.in_text(page.HEAD_ONE, page.one(judged)))
        print(judged.sentence())
    if out:
        say(f"read {page.write_score(judged, truth.secret, notes, Path(out).expanduser())}")
    return OK


def _results_dir(out: str) -> Path:
    """The folder given, or ``results/`` of the clone, or of the current folder where the package is installed."""
    if out:
        return Path(out).expanduser()
    return (PROJECT if (PROJECT / "pyproject.toml").exists() else Path.cwd()) / "results"


def _local_results() -> Path:
    from bench.home import home

    return home() / "results"


def _interrupt_on_sigterm() -> None:
    """A polite kill is a Ctrl-C: what is finished is kept."""
    import signal
    import threading

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _seconds(text: str) -> float:
    """A duration as ``--timeout`` takes it."""
    import re

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    value = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not 0 < value <= 30 * 86_400:
        raise BenchError(
            f"--timeout {text}: not understood", expected="a number and s, m or h, up to 30 days", got=repr(text), hint="--timeout 10m"
        )
    return value


def _cluster(executor: str, address: str, gpus: float | None, device: str) -> Cluster | None:
    """Where the workers are, if not on this machine."""
    if executor not in ("local", "ray"):
        raise BenchError(f"unknown executor '{executor}'", expected="local or ray", got=repr(executor))
    if executor == "local":
        if address or gpus is not None:
            raise BenchError("--address and --gpus-per-worker belong to --executor ray", expected="--executor ray beside them")
        return None
    if device not in ("auto", "cpu", "cuda"):
        raise BenchError(f"unknown device '{device}'", expected="auto, cpu or cuda", got=repr(device))
    if gpus is not None and not (0 < gpus <= 1 if device == "cuda" else gpus == 0 if device == "cpu" else 0 <= gpus <= 1):
        raise BenchError(
            f"--gpus-per-worker {gpus:g}: not understood",
            expected="a share of one GPU, more than 0 up to 1; or 0 for none, without --device cuda",
            got=f"{gpus:g} with --device {device}",
            hint="--gpus-per-worker 0.25",
        )
    from bench.engine.executors.cluster import Cluster

    return Cluster(address, device, gpus)


def _again(context: typer.Context) -> str:
    """The command that was typed, less the options that are meant for once: it resumes."""
    takes_value = {name: not getattr(param, "is_flag", False) for param in context.command.params for name in param.opts}
    kept, words = [], iter(context.find_root().obj)
    for word in words:
        name, equals, _ = word.partition("=")
        whole = [word, next(words)] if takes_value.get(name) and not equals else [word]
        if name not in ONCE:
            kept += whole
    program = ["reconbench"] if Path(sys.argv[0]).stem == "reconbench" else ["python", "-m", "bench"]
    return shlex.join([*program, *kept])


def _counts(summary: Summary) -> dict[str, int]:
    names = ("total", "ok", "cached", "failed", "skipped", "left")
    return {name: getattr(summary, name) for name in names}


def _failures(summary: Summary) -> list[dict[str, str]]:
    return [{"cell": cell, "reason": reason} for cell, reason in summary.failures]


def _tell(summary: Summary, again: str, total: float, pages: float) -> None:
    """The last lines of a run: how many, how long (seconds, those for publishing and pages among them), which failed, why, and what to
    type."""
    parts = [
        f"{getattr(summary, name)} {word}"
        for name, word in (("ok", "run"), ("cached", "cached"), ("skipped", "skipped"))
        if getattr(summary, name)
    ]
    took = f"{total:.0f} s" + (f": {summary.seconds:.0f} s for the cells, {pages:.0f} s for tables and pages" if pages >= 1 else "")
    say(f"{summary.grid}: {', '.join(parts) or 'nothing done'}, {summary.failed} failed of {summary.total} cells, {took}")
    if summary.out_of_budget:
        say(f"the grid's budget of time is spent: {summary.left} cells are left to run; go on with\n  {again}")
    if not summary.failures:
        return
    by_reason: dict[str, list[str]] = {}
    for cell, reason in summary.failures:
        by_reason.setdefault(reason, []).append(cell)
    _say_grouped("failed", by_reason)
    say(f"run just these again with\n  {again} --retry failed")


def _say_grouped(word: str, by_reason: Mapping[str, Sequence[str]]) -> None:
    """Each reason once, with the first of its cells."""
    for reason, cells in by_reason.items():
        say(f"{word}: {reason}")
        for cell in cells[:5]:
            say(f"  {cell}")
        if len(cells) > 5:
            say(f"  and {len(cells) - 5} more")


def _publish(planned: Plan, folder: Path, against: Path, quiet: bool, keep: bool, alone: bool) -> dict[str, Any]:
    """Merges the plan's rows into the results folder, renders it, and says how they compare with what another (or it, before) holds.

    Args:
        keep: rows of the folder that the plan's agree with stay as they are, image rows and pages too.
        alone: the folder shows the grid's latest run and none before; their rows stay in the store.
    """
    from bench import store
    from bench.engine import stored
    from bench.report.compare import compare
    from bench.report.standing import to_publish

    began = time.monotonic()
    rows = stored.store()
    frame, images = stored.collect(planned, rows)
    try:
        before = store.load_scores(against)
        fresh, pictures, standing = to_publish(frame, images, before) if keep else (frame, images, 0)
        left = _earlier(planned, folder) if alone else 0
        if len(fresh) or not (folder / store.SCORES_FILE).exists():
            store.publish(fresh, pictures, folder, store=rows, alone=alone)
        _render(folder, only_if_changed=True)
    except (BenchError, OSError) as error:
        text = str(error)
        raise BenchError(
            f"the rows are finished and kept in {rows}, but could not be published to {folder}: {text.partition(chr(10))[0]}",
            expected=getattr(error, "expected", "") or "a results folder that can be written",
            got=getattr(error, "got", "") or text,
            hint="mend it and run the same command again (nothing is computed twice), or choose another folder with --out",
        ) from error
    comparison = compare(frame, before)
    page = folder / f"{planned.grid}.md"
    page = page if page.exists() else folder / "leaderboard.md"
    if left:
        say(f"{left} rows of earlier runs of {planned.grid} left {folder}; the commands that made them bring them back (--out collects)")
    if not quiet:
        print(_table(frame, images))
        print((f"beside {against}: " if comparison.compared and against != folder else "") + comparison.text)
        if standing and not len(fresh):
            print("the published table stays as it is")
        elif standing:
            print(f"{standing} published rows stay as they are, {len(fresh)} {'is' if len(fresh) == 1 else 'are'} replaced or new")
        print(f"read {page}")
    counts = {"compared": comparison.compared, "agreeing": comparison.agreeing, "new": comparison.new}
    return {
        "comparison": {**counts, "against": str(against)},
        "results": str(folder),
        "read": str(page),
        "seconds_pages": time.monotonic() - began,
    }


def _earlier(planned: Plan, folder: Path) -> int:
    """How many rows of the plan's grid the folder holds that are not of the plan."""
    from bench import store

    held = store.load_scores(folder)
    return int((~held.loc[held["grid"] == planned.grid, "cell_id"].isin([cell.id for cell in planned.cells])).sum())


def _render(folder: Path, only_if_changed: bool = False) -> list[Path]:
    """Renders a results folder, and shows which page it is at."""
    from bench.engine.progress import choose
    from bench.report import render

    progress = choose()

    def tell(number: int, total: int, title: str) -> None:
        if number == 1:
            progress.start(total, task="render")
        else:
            progress.finished("", "ok", "")
        progress.stage(f"rendering page {title} ({number} of {total})")

    try:
        return render(folder, only_if_changed=only_if_changed, tell=tell)
    finally:
        progress.close()


def _publish_rows(fresh: Sequence[Mapping[str, Any]], images: pd.DataFrame, folder: Path) -> None:
    from bench import store
    from bench.engine import stored

    store.publish([dict(row) for row in fresh], images, folder, store=stored.store())
    _render(folder)
    print(f"published to {folder}")


def _owners(fresh: Sequence[dict[str, Any]], folders: Sequence[Path]) -> dict[Path, list[dict[str, Any]]]:
    """Which results folders hold which of the cells: each is brought up to date where it is."""
    from bench import store

    result: dict[Path, list[dict[str, Any]]] = {}
    for folder in folders:
        held = store.load_scores(folder)
        keys = set(zip(held["grid"], held["cell_id"], strict=True))
        own = [row for row in fresh if (row["grid"], row["cell_id"]) in keys]
        if own:
            result[folder] = own
    return result


def _table(frame: pd.DataFrame, images: pd.DataFrame) -> str:
    """The short table: one line a setting and attack, over seeds."""
    from tabulate import tabulate

    from bench.report.compare import summary_table

    lines = [{name: text for name, text in line.items() if name != "grid"} for line in summary_table(frame, images)]
    return str(tabulate(lines, headers="keys", disable_numparse=True)) if lines else "no rows"


def _show_plan(planned: Plan, as_json: bool) -> None:
    if as_json:
        import json

        cells = [
            {"cell": c.id, "attack": c.attack.spec.name, "axis": dict(c.axis), "seed": c.setting.seed, "state": c.state, "reason": c.reason}
            for c in planned.cells
        ]
        print(json.dumps({"grid": planned.grid, "counts": planned.counts(), "cells": cells}))
        return
    wide = max((len(c.attack.spec.name) for c in planned.cells), default=0)
    for c in planned.cells:
        axis = ", ".join(f"{name}={label}" for name, label in c.axis.items())
        print(f"{c.state:<13}  {c.attack.spec.name:<{wide}}  {axis}  seed {c.setting.seed}  {c.id}" + (f"  {c.reason}" if c.reason else ""))
    counts = ", ".join(f"{count} {state}" for state, count in planned.counts().items() if count)
    print(f"{planned.grid}: {len(planned.cells)} cells: {counts or 'none'}")


# ------------------------------------------------------------------------------------------------------------- describing


def _access(facts: Mapping[str, Any]) -> str:
    return "+".join(sorted(facts.get("needs") or {"final_weights"}))


def _field(name: str) -> str:
    from bench.api import Setting
    from bench.grids.load import _expected

    field = Setting.model_fields[name]
    default = field.get_default(call_default_factory=True)
    return f"{name} = {default!r}\n    {_expected(field)}"


def _grid_info(name: str) -> str:
    from bench.grids.load import load

    loaded = load(name)
    facts = _grid_facts(loaded)
    lines = [f"grid {loaded.grid.name}: {loaded.grid.title}", *filter(None, [loaded.grid.question]), f"file: {loaded.source}", *facts]
    for scale in loaded.grid.scales:
        lines += ["", f"with --scale {scale}, where it differs:"]
        theirs = _grid_facts(load(name, scale=scale))
        changed = {line.split()[0] for line in {*facts} ^ {*theirs}}  # all attacks are shown where one is another
        lines += [f"  {line}" for line in theirs if line.split()[0] in changed]
    return "\n".join(lines)


def _grid_facts(loaded: Loaded) -> list[str]:
    from bench.grids.load import expand

    grid = loaded.grid
    settings = len(expand(grid, loaded.source))
    lines = [f"base: {grid.base}"]
    lines += [f"axis {axis}: {'; '.join(value.label for value in values)}" for axis, values in grid.axes.items()]
    lines.append(f"seeds: {', '.join(map(str, grid.seeds))}")
    for spec in grid.attacks:
        sweep = f", sweep of {spec.sweep.runs} runs over {', '.join(spec.sweep.ranges) or 'the ranges it declares'}" if spec.sweep else ""
        lines.append(f"attack {spec.name}{' ' + str(spec.params) if spec.params else ''}{sweep}")
    lines.append(f"cells: {settings} settings × {len(grid.attacks)} attacks = {settings * len(grid.attacks)}")
    minutes = grid.budget.minutes
    return [*lines, f"budget: {f'{minutes:g} minutes' if minutes else 'none'}"]


def _plugin_info(kind: str, name: str) -> str:
    import dataclasses
    import inspect

    from bench import registry
    from bench.api import Claim

    head = name.partition(":")[0]
    entry = registry.entries(kind)[head]  # type: ignore[arg-type]
    cls = registry.get(kind, head)  # type: ignore[arg-type]
    word = registry.WORDS[kind]  # type: ignore[index]
    facts = {"role": getattr(cls, "role", ""), "paper": getattr(cls, "paper", ""), "track": getattr(cls, "track", "")}
    lines = [f"{word} {head}", inspect.cleandoc(cls.__doc__ or entry.summary), f"from: {entry.origin}"]
    lines += [f"{key}: {value}" for key, value in facts.items() if value]
    if kind == "attack":
        lines += [f"access: {_access({'needs': cls.needs})}", f"version: {registry.source_version(cls)}"]  # type: ignore[attr-defined]
        lines += [
            f"claim {claim.name}: {claim.text} ({claim.source})" for claim in cls.__dict__.get("claims") or () if isinstance(claim, Claim)
        ]
    if kind == "metric":
        from bench.schema import described, metrics

        metric = next(one for one in metrics() if one.name == head)
        lines.append(f"unit {metric.unit}, range {metric.interval}; {metric.better} is nearer")
        lines += [text for column in [metric.image_column(), *metric.statistic_columns()] for text in described(column.name)]
    if dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            default = "(required)"
            if field.default is not dataclasses.MISSING:
                default = repr(field.default)
            elif field.default_factory is not dataclasses.MISSING:
                default = repr(field.default_factory())
            swept = getattr(cls, "ranges", {}).get(field.name)
            drawn = f"; a sweep draws it from {swept[0]:g} to {swept[1]:g}, {swept[2]}" if swept else ""
            lines.append(f"hyperparameter {field.name}: {field.type} = {default}{drawn}")
    if kind == "data" and not (cls.takes_path and ":" not in name):  # type: ignore[attr-defined]
        source = registry.resolve_data(name)
        missing = source.missing()
        lines.append(
            f"missing: {missing}" if missing else f"here; digest {source.digest()}, images {'x'.join(map(str, source.image_shape()))}"
        )
    return "\n".join(lines)
