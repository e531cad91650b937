"""The command line, ``bench COMMAND``: run, ls, info, submit, verify, report, site, claims, score, audit, check, merge, fetch, doctor,
anatomy and ridge.

Nothing heavy is imported at the top of any file here, so that ``--help`` and ``ls`` answer at once.

=============  =========================================================================
``run``        run
``submit``     submit
``verify``     verify; of a submission in ``submitted``; its end in ``verdicts``
``look``       ls, info; in the words of ``describe``
``tables``     report, claims, anatomy, ridge, merge
``site``       site
``score``      score
``audit``      audit
``ready``      check, fetch, doctor
``options``    the options of ``run``, and those that several commands take
``reading``    what options say, read
``folders``    which results folder a command reads and writes
``summary``    what a run says before and after
``again``      the command that resumes
``exits``      exit codes, all of them
=============  =========================================================================
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from bench import shadows, streams
from bench.cli import audit, look, ready, run, score, site, submit, tables, verify
from bench.cli.exits import BUG, INTERRUPTED, OK, USAGE
from bench.colour import show
from bench.errors import BenchError
from bench.say import say

app = typer.Typer(
    name="bench",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="What a trained network gives away about its training data: attacks, controls, leaderboard.",
)

COMMANDS: dict[str, Callable[..., int]] = {  # in the order of --help
    "run": run.run,
    "ls": look.list_,
    "info": look.info,
    "submit": submit.submit,
    "verify": verify.verify,
    "report": tables.report,
    "site": site.site,
    "claims": tables.claims,
    "score": score.score,
    "audit": audit.audit,
    "check": ready.check,
    "anatomy": tables.anatomy,
    "ridge": tables.ridge,
    "merge": tables.merge,
    "fetch": ready.fetch,
    "doctor": ready.doctor,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


@app.callback()
def _main(
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks (also RECONBENCH_DEBUG=1)")] = False,
    version: Annotated[bool, typer.Option("--version", help="print the version and stop")] = False,
) -> None:
    """Options before the command. ``--debug`` is read in ``main``, where it may stand anywhere."""


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
        shadows.check()
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
        first, _, rest = str(error).partition("\n")
        show([(first, "bad"), (f"\n{rest}" if rest else "", "")], sys.stderr)
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


def _help_of(words: Sequence[str]) -> str:
    return f"{words[0]} " if words and words[0] in COMMANDS else ""
