"""Decoded pixels, kept on disk where decoding takes more than a second. The cache can be deleted at any time, and repairs itself."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.home import home

WORTH_KEEPING = 1.0  # seconds

Arrays = dict[str, np.ndarray]


def decoded(digest: str, decode: Callable[[], Arrays]) -> Arrays:
    """What ``decode()`` returns, from ``datasets/decoded/<digest>.npz`` if it is there and whole (the archive's checksums tell)."""
    path = home() / "datasets" / "decoded" / f"{digest}.npz"
    with contextlib.suppress(FileNotFoundError):
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (ValueError, EOFError, KeyError, zipfile.BadZipFile, OSError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            with contextlib.suppress(OSError):
                path.unlink()
    start = time.perf_counter()
    arrays = decode()
    if time.perf_counter() - start > WORTH_KEEPING:
        _keep(path, arrays)
    return arrays


def _keep(path: Path, arrays: Arrays) -> None:
    """Writes beside and renames, so that no reader meets half a file. A disk that is full or read-only costs time, not the run."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
