"""``score``: the reconstructions kept here, or anyone's, measured again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from bench.cli.again import typed_again
from bench.cli.exits import INTERRUPTED, OK, SOME_FAILED
from bench.cli.folders import local_results, probe, results_dir
from bench.cli.options import Controls, Dataset, DrawnSeed, DrawnSet, Labels, Members, Plugins
from bench.cli.reading import load_plugins
from bench.cli.summary import say_grouped
from bench.errors import BenchError, did_you_mean
from bench.regular import path_of
from bench.say import say


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
    load_plugins(plugin)
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
    from bench import publishing
    from bench.engine import rescore, stored
    from bench.engine.progress import choose
    from bench.grids.read import options_of

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
    if out:
        probe(results_dir(out))
    try:
        fresh, missing = rescore.rescore(rows, grid or None, choose())
    except KeyboardInterrupt:
        say(f"interrupted: cells scored so far are kept; resume with\n  {typed_again(context)}")
        return INTERRUPTED
    if fresh:
        held = {results_dir(out): fresh} if out else publishing.owners(fresh, (results_dir(""), local_results()))
        for folder, own in held.items():
            publishing.publish_rows(own, rows.images([row["cell_id"] for row in own]), rows, folder)
    left = sum(map(len, missing.values()))
    print(f"{len(fresh)} {'cell' if len(fresh) == 1 else 'cells'} scored again" + (f", {left} not" if left else ""))
    say_grouped("missing", missing)
    return SOME_FAILED if missing else OK


def _score_files(
    files: Sequence[str], asked: tuple[str, Sequence[str], int, str, str, str], add_mean: str, rescale: bool, submit: int | None, out: str,
    as_json: bool,
) -> int:  # fmt: skip
    """``score --reconstructions``: prints the judgement, and writes it where ``--out`` says."""
    from bench.audit import page, scoring
    from bench.audit.asked import truth_of

    folder = path_of(out) if out else None
    if folder:
        probe(folder)
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

        print(json.dumps({"name": judged.name, "notes": notes, **page.facts(judged)}))
    else:
        print(page.in_text(page.HEAD_ONE, page.one(judged)))
        print(judged.sentence())
    if folder:
        say(f"read {page.write_score(judged, truth.secret, notes, folder)}")
    return OK
