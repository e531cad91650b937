"""Of what source an attack is: a hash that no declared version can hide."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
from collections.abc import Iterator
from pathlib import Path

from bench import registry

OWN = "attacks"  # the package whose modules count as part of an attack that imports them


@functools.cache
def source_of(cls: type) -> str | None:
    """16 hex digits: SHA-256 of the file of an attack's class and, one after the other by name, of the files of the project's attacks that
    it imports, directly or through each other. None: the class has no file, as of one that was typed into an interpreter."""
    try:
        path = Path(inspect.getfile(cls)).resolve()
        files = {path, *_imported(path, set())}
        content = [(file.name if file == path else file.relative_to(registry.ROOT).as_posix(), file.read_bytes()) for file in sorted(files)]
    except (OSError, TypeError):
        return None
    digest = hashlib.sha256()
    for name, text in content:
        digest.update(f"{name}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()[:16]


def _imported(path: Path, seen: set[Path]) -> set[Path]:
    """Files of the project's attacks that a file imports, and these import in turn."""
    if path not in seen:
        seen.add(path)
        for name in _names(path):
            for file in _files(name):
                _imported(file, seen)
    return {file for file in seen if file != path}


def _names(path: Path) -> Iterator[str]:
    """Modules, or names in modules, that a file imports. A file that does not parse imports nothing."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


def _files(name: str) -> Iterator[Path]:
    """The file of a module of the project's attacks, and of the packages that it lies in; nothing for other names."""
    parts = name.split(".")
    if parts[0] != OWN:
        return
    for depth in range(2, len(parts) + 1):
        place = registry.ROOT.joinpath(*parts[:depth])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                yield file
