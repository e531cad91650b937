"""``verify FOLDER``: a submission, read as data, its code run in the sandbox alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.cli.exits import INTERRUPTED, OK, SOME_FAILED, interrupt_on_sigterm
from bench.cli.folders import probe, results_dir
from bench.cli.reading import load_plugins, room_of
from bench.errors import BenchError
from bench.regular import path_of
from bench.say import say

if TYPE_CHECKING:
    from bench.apart.room import Room
    from bench.store.submissions import Submission
    from bench.verify.submitted import Looked

REFUSED = "refused"


def verify_folder(
    context: typer.Context, folder: str, device: str, jobs: int | None, seconds: float | None, memory: float | None, sandbox: str,
    keep: bool, out: str, json: bool,
) -> int:  # fmt: skip
    """Verifies the submission in a folder, and ends with a verdict. What is refused is so before anything of it runs."""
    from bench.data.blind import taken
    from bench.store.submissions import FOLDER, RefusedError, read_submission

    path = path_of(folder).absolute()
    if not path.is_dir():
        raise BenchError(f"there is no submission {path}", expected="a folder, as submit writes it", got="no folder")
    if sandbox == "off":
        raise BenchError("a submission is a stranger's code, and --sandbox off would run it next to the secret", expected="bwrap, or none")
    results = path.resolve().parent.parent if path.resolve().parent.name == FOLDER else results_dir("")
    into = results_dir(out) if out else results
    with taken() as salt:  # before its code is loaded
        try:
            submission = read_submission(path)
            room = room_of("bwrap" if sandbox == "auto" else sandbox, False, device)
            assert room is not None
            context.call_on_close(room.close)
            _load(submission, room)
            probe(into)
            interrupt_on_sigterm()
            from bench.engine.progress import choose
            from bench.engine.run import pick_device
            from bench.verify.run import How
            from bench.verify.submitted import verify_submission

            how = How(pick_device(device), jobs or 1, seconds, memory, room)
            found = verify_submission(submission, salt, how, results, choose(), keep)
        except RefusedError as error:
            return _refused(path, error, json)
    if found.interrupted:
        say("interrupted: nothing was kept of it" + ("" if keep else ", and the blind targets are gone"))
        return INTERRUPTED
    _publish(found, into)
    _tell(found, json)
    return OK if found.verdict in ("verified", "open") and not any(run.left for run in found.runs) else SOME_FAILED


def _load(submission: Submission, room: Room) -> None:
    """Makes its attacks known, as stand-ins: its file is imported in the room alone.

    Raises:
        RefusedError: the file is not what the manifest says, or cannot be imported.
    """
    from bench.store.submissions import RefusedError
    from bench.submitting import classes

    said, code = submission.manifest, submission.folder / submission.manifest.code
    try:
        names, track = classes(code, room)
        if (tuple(names), track) != (said.attacks, said.track):
            raise BenchError("its code has other attacks than it says", expected=", ".join(said.attacks), got=", ".join(names))
        load_plugins([str(code)], room)
    except BenchError as error:
        raise RefusedError(f"submission '{said.name}': {error.what}", expected=error.expected, got=error.got, hint=error.hint) from error


def _refused(path: Path, error: BenchError, json: bool) -> int:
    from bench.report.kit.text import clean

    if json:
        import json as json_module

        print(json_module.dumps({"submission": path.name, "verdict": REFUSED, "reasons": [error.line], "rows": []}))
    else:
        say(str(error))
        print(f"{clean(path.name, 60)}: {REFUSED}: {clean(error.line, 400)}")
    return SOME_FAILED


def _publish(found: Looked, folder: Path) -> None:
    from bench.cli.verdicts import publish_rows

    publish_rows(found.rows, folder)


def _tell(found: Looked, json: bool) -> None:
    from bench.report.kit.text import clean

    name = found.submission.manifest.name
    if json:
        import json as json_module
        from dataclasses import asdict

        rows = [asdict(row) for row in found.rows]
        said = {"submission": name, "digest": found.submission.digest, "verdict": found.verdict, "reasons": found.reasons, "rows": rows}
        print(json_module.dumps(said))
        return
    from bench.cli.verdicts import STYLE, tell
    from bench.colour import show

    for run in found.runs:
        tell(run)
    why = f": {clean('; '.join(found.reasons), 400)}" if found.reasons else ""
    who = f"{clean(name, 60)} by {clean(found.submission.manifest.by, 60)} [{found.submission.digest}]: "
    show([(who, ""), (found.verdict, STYLE[found.verdict]), (why, "")])
