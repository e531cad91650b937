"""Content digests: 16 hex digits over the bytes of files and over the name of the recipe that turns them into images."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

from bench import regular
from bench.errors import BenchError


def digest_of(recipe: str, files: Iterable[Path]) -> str:
    """16 hex digits of SHA-256 over ``recipe`` and the files' hashes, in the order given; a change of decoding is a change of recipe.

    Raises:
        BenchError: a file is gone or may not be read.
    """
    total = hashlib.sha256(recipe.encode(errors="surrogateescape"))
    for path in files:
        try:
            stat = path.stat()
            total.update(bytes.fromhex(_file_hash(str(path), stat.st_size, stat.st_mtime_ns)))
        except OSError as error:
            raise BenchError(
                f"{path} cannot be read", expected="a file", got=f"{type(error).__name__}: {error.strerror}", hint="check it and its rights"
            ) from error
    return total.hexdigest()[:16]


@functools.lru_cache(maxsize=65_536)
def _file_hash(path: str, size: int, mtime_ns: int) -> str:
    """SHA-256 of a file, once per process while its size and time stay."""
    total = hashlib.sha256()
    with regular.opened(Path(path)) as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()
