"""A line on stderr, for a person."""

from __future__ import annotations

import os
import sys


def say(text: str) -> None:
    """A line on stderr. Where nobody reads it any more, work goes on without a word."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
