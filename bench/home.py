"""Where this machine's own files lie: ``$RECONBENCH_HOME``, or ``.reconbench`` in the current folder."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The local store: ``targets/ reconstructions/ rows/ datasets/ weights/``. It is made by whoever writes to it first."""
    return Path(os.environ.get("RECONBENCH_HOME") or ".reconbench").expanduser().absolute()
