"""Content digests: 16 hex digits over the bytes of files and over the name of the recipe that turns them into images."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path


def digest_of(recipe: str, files: Iterable[Path]) -> str:
    """16 hex digits of SHA-256 over ``recipe`` and the files' hashes, in the order given; a change of decoding is a change of recipe."""
    total = hashlib.sha256(recipe.encode())
    for path in files:
        stat = path.stat()
        total.update(bytes.fromhex(_file_hash(str(path), stat.st_size, stat.st_mtime_ns)))
    return total.hexdigest()[:16]


@functools.lru_cache(maxsize=65_536)
def _file_hash(path: str, size: int, mtime_ns: int) -> str:
    """SHA-256 of a file, once per process while its size and time stay."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()
