"""Where this machine's own files lie, and where what it computes is kept."""

from __future__ import annotations

import os
from pathlib import Path

from bench.regular import path_of

STORE = "RECONBENCH_STORE"


def home() -> Path:
    """``$RECONBENCH_HOME``, or ``.reconbench`` in the current folder. It is made by whoever writes to it first.

    Always here: ``datasets/ weights/ pages/``, and ``results/ audits/`` of commands that name no other folder.
    """
    return path_of(os.environ.get("RECONBENCH_HOME") or ".reconbench").absolute()


def kept() -> str:
    """The store, which machines may share: ``rows/ targets/ shadows/ reconstructions/``, in ``$RECONBENCH_STORE`` or else ``home()``.

    As the user says it, a path or a URI, which may hold credentials: to be opened by ``bench.files`` and shown by nobody.
    """
    return os.environ.get(STORE) or str(home())
