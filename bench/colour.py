"""Colour where a terminal shows it, and the very same text without where there is none.

``NO_COLOR`` and dumb terminals are respected, as is whoever has put another stream in the place of standard output. Texts come from
anyone, so each is made plain (``bench.say``) before this program's own colours are put around it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import TextIO

from bench.say import plain

DUMB = ("", "dumb", "unknown")
STYLES = {  # by what a text is
    "good": "green", "bad": "bold red", "open": "yellow", "attack": "bold cyan", "control": "yellow", "faint": "bright_black", "": "",
}  # fmt: skip

Part = tuple[str, str]  # a text, and which of STYLES


def interactive(stream: TextIO | None) -> bool:
    """Whether somebody looks at a stream in a terminal."""
    with contextlib.suppress(ValueError, OSError):  # closed
        return stream is not None and stream.isatty()
    return False


def smart(stream: TextIO | None) -> bool:
    """Whether it shows more than letters."""
    return interactive(stream) and os.environ.get("TERM", "").lower() not in DUMB


def show(parts: Iterable[Part], stream: TextIO | None = None) -> None:
    """One line on a stream, by default standard output."""
    stream = sys.stdout if stream is None else stream
    if stream is None:  # closed, before ``bench.streams`` has opened another
        return
    texts = [(plain(text), style) for text, style in parts]
    if not smart(stream) or os.environ.get("NO_COLOR"):
        with contextlib.suppress(OSError):
            print("".join(text for text, _ in texts), file=stream, flush=stream is sys.stderr)
        return
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble(*((text, STYLES[style]) for text, style in texts))
    Console(file=getattr(stream, "drawn", stream), highlight=False).print(line, soft_wrap=True)
    with contextlib.suppress(OSError):
        stream.flush()
