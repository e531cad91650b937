"""What is printed: lines for a person on stderr, and of every text what a terminal would obey taken out.

Names of files, rows, metadata and what plug-ins raise come from anyone, and a terminal takes some characters for orders.
"""

from __future__ import annotations

import contextlib
import re
import sys

# Whole sequences (colours, titles, movements), then whatever control character is left, C1 among them; and marks that turn text around.
ORDERS = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)|\x1b[ -/]*[0-Z\\`-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def plain(text: str) -> str:
    """The text without what a terminal would obey; line feeds and tabs stay."""
    return ORDERS.sub("", text)


def say(text: str) -> None:
    """A line on stderr. Where nobody reads it any more, work goes on without a word."""
    if sys.stderr is not None:  # to print, None means stdout
        with contextlib.suppress(OSError):
            print(plain(text), file=sys.stderr, flush=True)
