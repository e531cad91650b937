"""``audit``: what a checkpoint gives away."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from bench.cli.exits import OK, SOME_FAILED
from bench.cli.options import Controls, Dataset, DrawnSeed, DrawnSet, Labels, Members, Plugins
from bench.cli.reading import check_memory, load_plugins
from bench.errors import BenchError
from bench.regular import path_of


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
        list[str], typer.Option("--attack", metavar="NAME", help="this attack; may be repeated (default: all that apply)")
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
            "--mean",
            metavar="members|none|NUMBERS|NAME|FILE",
            help="what the network subtracts from its input: numbers, one a channel; constants by name: imagenet, cifar10, mnist, half "
            "(default: tried at the members, theirs first; else grey)",
        ),
    ] = "",
    std: Annotated[
        str, typer.Option("--std", metavar="NUMBERS|NAME|FILE", help="what it divides by then (default: that of a --mean by name, else 1)")
    ] = "",
    activation: Annotated[str, typer.Option("--activation", metavar="NAME", help="after each hidden layer (default: relu)")] = "",
    loss: Annotated[str, typer.Option("--loss", metavar="NAME", help="training loss (default: bce for one output, else ce)")] = "",
    shape: Annotated[
        str, typer.Option("--shape", metavar="CxHxW", help="of the input: images of another are brought to it (default: theirs)")
    ] = "",
    pooling: Annotated[str, typer.Option("--pooling", metavar="NAME", help="of a convolutional network: stride, max, avg or none")] = "",
    model: Annotated[
        str,
        typer.Option("--model", metavar="PACKAGE.MODULE:FACTORY", help="makes the network that the weights belong to; it runs your code"),
    ] = "",
    initial: Annotated[
        str, typer.Option("--initial", metavar="FILE", help="its weights before training, or those it was fine-tuned from")
    ] = "",
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
    no_positive_control: Annotated[
        bool,
        typer.Option(
            "--no-positive-control",
            help="where nothing is found, do not train and attack a network of the same form that gives its images away",
        ),
    ] = False,
    plugin: Plugins = [],  # noqa: B006
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="where page, pictures and candidates go (default: .reconbench/audits/NAME)")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="print one JSON object on stdout")] = False,
) -> int:
    """Say what a checkpoint gives away. Attacks it, and scores what comes back beside controls."""
    load_plugins(plugin)
    from bench.artefacts.images import parse_shape
    from bench.artefacts.truth import own_members
    from bench.audit import audit as auditor
    from bench.audit import page, stages
    from bench.audit.asked import truth_of
    from bench.engine.run import pick_device
    from bench.files import Folder
    from bench.home import home

    check_memory(memory)
    if fail_above is not None and not -1 <= fail_above <= 1:  # not so of NaN, above which nothing is
        got = f"{fail_above:g}"
        raise BenchError(f"--fail-above {got}: not understood", expected="a number in [-1, 1]", got=got, hint="--fail-above 0.05")
    known = not members or bool(controls or dataset)
    form = parse_shape(shape)
    truth = truth_of(dataset, set_, seed, members, controls, labels, form) if known else None
    if fail_above is not None and truth is None:
        raise BenchError("--fail-above has nothing to score", expected="--members with --controls or --dataset, or --dataset alone")
    where = pick_device(device)
    planned = auditor.plan(attack, runs, param)
    positive = not no_positive_control and truth is not None
    with closing(stages.choose()) as progress:
        progress.plan(planned, positive)
        progress.begin(stages.READING)
        subject = auditor.subject_of(
            checkpoint, truth=truth, members=None if known else own_members(members, labels, form), mean=mean, std=std, shape=form,
            activation=activation, loss=loss, pooling=pooling, n_train=n_train, initial=initial, model=model, device=where,
        )  # fmt: skip
        folder = path_of(out) if out else auditor.folder_for(checkpoint, home() / "audits")
        Folder(folder).probe()  # what cannot be written is better known before an hour of attacks than after
        for line in auditor.described(subject):
            progress.note(line)
        report = auditor.attack(subject, planned, seed=seed, memory_gib=memory, positive=positive, stages=progress, say=progress.note)
    written = auditor.write(report, folder, checkpoint)
    code = OK if report.passes(fail_above) else SOME_FAILED
    if json:
        import json as json_module

        print(json_module.dumps({**auditor.as_json(report, checkpoint), "read": str(written), "exit_code": code}))
    else:
        if truth is not None:
            print(page.in_text(page.HEAD_MANY, page.many(report.judged)))
        print("".join(f"{line}\n" for line in page.missed(report.judged)), end="")
        print(f"read {written}\n{report.verdict.sentence()}")
    return code
