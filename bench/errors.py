"""The one error that a user is meant to read: what was expected, what came, what to try."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """A fault in the input or the surroundings, not in the program; shown without a traceback.

    Args:
        what: what is wrong, in one sentence, naming the file, field or cell.
        expected: what would have been right.
        got: what came instead.
        hint: what to try next, as a command or an action.
    """

    def __init__(self, what: str, *, expected: str = "", got: str = "", hint: str = "") -> None:
        self.what, self.expected, self.got, self.hint = what, expected, got, hint
        lines = [what]
        lines += [f"  expected: {expected}"] if expected else []
        lines += [f"  got:      {got}"] if got else []
        lines += [f"  try:      {hint}"] if hint else []
        super().__init__("\n".join(lines))

    @property
    def line(self) -> str:
        """The same in one line, for the reason of a row."""
        parts = [
            self.what.removesuffix("."),
            self.expected and f"expected {self.expected}",
            self.got and f"got {self.got}",
            self.hint and f"try {self.hint}",
        ]
        return " ".join("; ".join(part for part in parts if part).split())


class StorageError(BenchError):
    """Where files are kept there is no room, no permission or no answer. The surroundings are to blame: the run stops, no cell fails."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the nearest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


class AttackFault(BenchError):  # noqa: N818  (a verdict on the attack, as the rows word it)
    """What an attack did wrong: an answer that cannot be scored, or a release that it changed. The cell becomes a failed row."""
