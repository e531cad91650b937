"""``submit``: an attack of one's own, with its rows and answers, in a folder that a pull request adds."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import options
from bench.cli.again import typed_again
from bench.cli.exits import INTERRUPTED, OK, SOME_FAILED, interrupt_on_sigterm
from bench.cli.folders import results_dir
from bench.cli.reading import check_jobs, check_memory, load_plugins, room_of, seconds_of
from bench.cli.summary import tell
from bench.errors import BenchError
from bench.say import say

if TYPE_CHECKING:
    from pathlib import Path

    from bench.submitting import Made


def submit(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE.py", help="a plug-in file with attacks of one track, as for --plugin")],
    by: Annotated[str, typer.Option("--by", metavar="TEXT", help="who submits it, as pages are to name you")],
    contact: Annotated[str, typer.Option("--contact", metavar="TEXT", help="an address or URL for questions; it is published")],
    licence: Annotated[str, typer.Option("--licence", metavar="SPDX", help="of the code: MIT, BSD-3-Clause, Apache-2.0, …")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="of the folder (default: the file's name)")] = "",
    device: options.Device = "auto",
    jobs: options.Jobs = None,
    timeout: options.Timeout = "",
    memory: options.Memory = None,
    sandbox: options.Sandbox = "auto",
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="where the folder goes (default: results/submissions)")] = "",
) -> int:
    """Make the folder by which an attack enters the board.

    It is checked, and run on the required grids, transplants included; a pull request adds the folder.
    """
    from bench import registry
    from bench.engine.progress import choose
    from bench.engine.run import pick_device
    from bench.store.submissions import FOLDER
    from bench.submitting import Who, check_file, classes, make

    check_memory(memory)
    check_jobs(jobs)
    seconds = seconds_of(timeout) if timeout else None
    path = registry.plugin_path(file)
    check_file(path)
    who = Who(name or path.stem.lower(), by, contact, licence)
    who.manifest(track="any", attacks=("any",), grids=("any",), answers={}, files={})  # before anything runs
    into = (results_dir(out) if out else results_dir("") / FOLDER) / who.name
    if into.exists():
        raise BenchError(f"{into} is there already", expected="a new folder", hint="move it away, or --name another")
    if sandbox == "off":
        raise BenchError("--sandbox off runs an attack next to the secret, and nobody would believe its rows", hint="leave it out")
    if not _checked(path):
        say("nothing was written: mend what failed above, and submit again")
        return SOME_FAILED
    room = room_of(sandbox, False, device)
    assert room is not None
    context.call_on_close(room.close)
    names, track = classes(path, room)
    load_plugins([file], room)
    interrupt_on_sigterm()
    how = {"jobs": jobs or 1, "timeout": seconds, "memory_gib": memory, "room": room}
    made = make(who, path, names, track, into, pick_device(device), choose(), **how)
    for summary in made.summaries:
        tell(summary, typed_again(context), summary.seconds, 0.0)
    if any(one.interrupted for one in made.summaries):
        say(f"interrupted: finished cells are kept; go on with\n  {typed_again(context)}")
        return INTERRUPTED
    return _told(made, into)


def _checked(path: Path) -> bool:
    """Whether the file keeps the contract of attacks, by ``check`` in a process of its own: here it is not to be imported."""
    import os

    from bench.registry import ROOT

    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))}
    return subprocess.run([sys.executable, "-m", "bench", "check", str(path)], env=env, check=False).returncode == 0


def _told(made: Made, into: Path) -> int:
    from bench import publishing

    assert made.scores is not None
    assert made.images is not None
    print(publishing.table(made.scores, made.images))
    if made.submission is None:
        say("nothing was written: every cell of the required grids must have scores")
        return SOME_FAILED
    print(f"wrote {into} ({len(made.submission.manifest.files)} files, digest {made.submission.digest})")
    print(f"what a maintainer will run: python -m bench verify {into}")
    for attack in made.suspect:
        say(f"{attack} finds members as well where the network is another seed's: its score is not from the weights, and will be flagged")
    return SOME_FAILED if made.suspect else OK
