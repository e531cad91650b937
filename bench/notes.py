"""What this program warns of in a process that another one keeps goes to that one. What attacks warn of is part of their output."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

_PACKAGE = str(Path(__file__).resolve().parent)


class Notes:
    """The warnings of this program since they were last taken; to be set as ``warnings.showwarning``."""

    def __init__(self) -> None:
        self._kept: list[str] = []

    def __call__(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        """See ``warnings.showwarning``."""
        if filename.startswith(_PACKAGE):
            self._kept.append(str(message))
        else:
            sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))

    def taken(self) -> list[str]:
        """All that is kept, which is forgotten then."""
        taken, self._kept = self._kept, []
        return taken
