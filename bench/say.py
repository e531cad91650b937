"""A line on stderr, for a person."""

from __future__ import annotations

import contextlib
import sys


def say(text: str) -> None:
    """A line on stderr. Where nobody reads it any more, work goes on without a word."""
    if sys.stderr is not None:  # to print, None means stdout
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, flush=True)
