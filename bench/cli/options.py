"""The options of ``run``, and those that several commands take."""

from typing import Annotated

import typer

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

# of run

Grid = Annotated[str, typer.Option("--grid", metavar="NAME|FILE.yaml", help="which grid (python -m bench ls)")]
Attacks = Annotated[list[str], typer.Option("--attack", metavar="NAME", help="only this attack; may be repeated")]
Set = Annotated[
    list[str], typer.Option("--set", metavar="FIELD=VALUE", help="override a setting field; an axis of that name shrinks to it")
]
Seeds = Annotated[str, typer.Option("--seeds", metavar="LIST", help="these seeds: 0 or 0,2 or 0-4 (a list, not a count)")]
Scale = Annotated[str, typer.Option("--scale", metavar="small|full", help="a scale of the grid (python -m bench info GRID)")]
Runs = Annotated[
    int | None,
    typer.Option("--runs", metavar="N", help="sweep: N runs a cell with drawn hyperparameters, candidates pooled; resumes run by run"),
]
Device = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="where to train and attack")]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        help="worker processes, each with a GPU of its own where there are several; 1, the default: none; on Ray: as many as have room",
        show_default=False,
    ),
]
Timeout = Annotated[
    str,
    typer.Option("--timeout", metavar="10m", help="kill what takes longer (90s, 10m, 1h): a training, or the cells that run together"),
]
Executor = Annotated[str, typer.Option("--executor", metavar="local|ray", help="run on this machine, or on a Ray cluster")]
Address = Annotated[
    str,
    typer.Option("--address", metavar="HOST:PORT", help="with ray: the cluster's head, auto, or local (default: $RAY_ADDRESS, else local)"),
]
Gpus = Annotated[
    float | None,
    typer.Option("--gpus-per-worker", metavar="SHARE", help="with ray: 0.25: four workers on a GPU (default: 1)", show_default=False),
]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", help="the first N cells of the plan only")]
Memory = Annotated[
    float | None,
    typer.Option(
        "--memory",
        metavar="GIB",
        help="what stacks of runs may take, all workers together (default: half of what is free)",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="list the cells and what would become of each; run nothing")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="train and attack again even where a result is here")]
Retry = Annotated[str, typer.Option("--retry", metavar="failed", help="'failed': run the cells again that failed before")]
Republish = Annotated[
    bool, typer.Option("--republish", help="replace rows of the published table also where this run agrees with them (for maintainers)")
]
Pdb = Annotated[bool, typer.Option("--pdb", help="open Python's debugger where an attack raises an exception; with -j 1 alone")]
Sandbox = Annotated[
    str,
    typer.Option(
        "--sandbox",
        metavar="auto|none|bwrap",
        envvar="RECONBENCH_SANDBOX",
        show_envvar=False,
        help="attacks run in processes of their own; auto: in a sandbox where there is one; bwrap: in no case without; none: without; "
        "off: in this process, next to the secret (also RECONBENCH_SANDBOX)",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON summary on stdout, everything else on stderr")]
