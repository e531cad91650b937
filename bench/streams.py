"""Standard output and error as this program uses them: no character and no reader that has left ends its work.

A character that a terminal's encoding lacks is written in ASCII. Where a stream is closed, its reader has left (``| head``) or its device
is full, the rest goes nowhere and work goes on; ``fault`` tells in the end why something could not be written, but for a reader that left.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import select
import sys
from typing import Any, TextIO

from bench.say import plain

# what the messages of this program hold beyond ASCII; any other character is written as its escape, such as \xe9
ASCII = {
    "×": "x", "−": "-", "–": "-", "—": "-", "→": "->", "←": "<-", "…": "...", "·": ".", "±": "+-", "≥": ">=", "≤": "<=", "≠": "!=",
    "≈": "~", "½": "1/2", "²": "^2", "¹": "^1", "₀": "_0", "₁": "_1", "₂": "_2", "ᵢ": "_i", "ⱼ": "_j", "ᵀ": "^T", "‰": "/1000",
    "λ": "lambda", "θ": "theta", "α": "alpha", "β": "beta", "δ": "delta", "Δ": "Delta", "σ": "sigma", "Σ": "sum", "μ": "mu", "ρ": "rho",
    "Φ": "Phi", "∇": "grad ", "∂": "d", "√": "sqrt", "‖": "||", "∘": "o", "‘": "'", "’": "'", "“": '"', "”": '"',
}  # fmt: skip
ERRORS = "reconbench-ascii"


def _in_ascii(error: UnicodeError) -> tuple[bytes, int]:
    """Of characters that cannot be encoded; bytes of a file's name that are no text are written as they are."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = b""
    for character in error.object[error.start : error.end]:
        if "\udc80" <= character <= "\udcff":
            found += character.encode("ascii", "surrogateescape")
        else:
            found += ASCII.get(character, character).encode("ascii", "backslashreplace")
    return found, error.end


codecs.register_error(ERRORS, _in_ascii)


class _Plain(io.TextIOWrapper):
    """A text stream that no terminal takes orders from: whatever is printed, traced or warned of, by whomever, goes through here.

    ``drawn`` is the same stream for what this program draws itself, such as a bar that moves.
    """

    def write(self, text: str) -> int:
        super().write(plain(text))
        return len(text)

    @property
    def drawn(self) -> _Drawn:
        return _Drawn(self)


class _Drawn:
    """See _Plain."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return io.TextIOWrapper.write(self._stream, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Forgiving(io.FileIO):
    """A standard stream that can always be written. ``fault`` is what stood in the way, if anything but a reader that has left."""

    fault: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            while (count := super().write(data)) is None:
                select.select([], [self], [])  # set not to block by whoever shares it
            return int(count)
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.fault = error
            _nowhere(self.fileno())
            return super().write(data)


def _nowhere(number: int) -> None:
    handle = os.open(os.devnull, os.O_RDWR)
    if handle == number:
        os.set_inheritable(handle, True)
    else:
        os.dup2(handle, number)
        os.close(handle)


def prepare() -> None:
    """Makes this process's streams so; those that something else stands in for (a test, a notebook) only lose their dread of characters."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed: a file would be opened under its number, and what others print would go there
            _nowhere(number)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream: TextIO | None = getattr(sys, name)
        if stream is None or (os.name == "posix" and stream is getattr(sys, f"__{name}__") and not _raw(stream)):
            raw = _Forgiving(number, "wb", closefd=False)
            encoding, lines = stream.encoding if stream else "utf-8", name == "stderr" or raw.isatty()
            own = _Plain(io.BufferedWriter(raw), encoding=encoding, errors=ERRORS, line_buffering=lines)
            setattr(sys, name, own)
            setattr(sys, f"__{name}__", own)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def fault() -> OSError | None:
    """Why something that was printed on standard output came to nothing, or None."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    raw = _raw(sys.stdout)
    return raw.fault if raw else None


def _raw(stream: TextIO) -> _Forgiving | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Forgiving) else None
