"""The command that resumes, built from what was typed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

ONCE = ("--no-cache", "--retry", "--pdb", "--json")  # options that the command which resumes a run leaves out


def typed_again(context: typer.Context) -> str:
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
