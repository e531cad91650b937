"""The store of a verification: a folder of its own, named by the salt's digest, and gone when the run ends.

Trained targets must not outlive the run: a later plug-in could read in them what the salt was to hide.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.data.blind import salt_digest
from bench.errors import StorageError
from bench.home import STORE, home


@contextlib.contextmanager
def own_folder(keep: bool = False) -> Iterator[Path]:
    """A store of its own on this machine, to which ``bench.files.store_files`` leads meanwhile.

    Args:
        keep: leave it there afterwards, and go on with one that is there.

    Raises:
        StorageError: it cannot be made.
    """
    folder = home() / "verify" / salt_digest()
    before = os.environ.get(STORE)
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise StorageError(f"cannot make {folder}", expected="a folder that can be written", got=str(error)) from error
    os.environ[STORE] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            os.environ.pop(STORE, None)
        else:
            os.environ[STORE] = before
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                folder.parent.rmdir()  # if it is the last
