"""What the pages of a results folder were made of, so that a run renders only those that it changes."""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bench.store import SCORES_FILE, images_files, to_table

_BENCH = Path(__file__).parent.parent
_USED = (_BENCH / "metrics" / "intervals.py", _BENCH / "metrics" / "significance.py", _BENCH / "schema.py", _BENCH / "api.py")


@dataclass(frozen=True)
class Rendering:
    """As the comment at the end of the leaderboard says."""

    stamp: str = ""  # of both tables, the code and the claims
    files: list[str] = field(default_factory=list)  # relative to the folder, without the leaderboard
    marks: dict[str, str] = field(default_factory=dict)  # a grid's slug → hash of its rows and the code

    def comment(self) -> str:
        """As Markdown that shows nothing."""
        marks = [f"{slug}: {mark}" for slug, mark in self.marks.items()]
        return "\n".join(["", f"<!-- tables and code: {self.stamp}", *marks, *self.files, "-->", ""])


def last_rendering(folder: Path) -> Rendering:
    """What the leaderboard says; nothing if there is none, or it says nothing."""
    try:
        text = (folder / "leaderboard.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return Rendering()
    found = re.search(r"<!-- tables and code: ([0-9a-f]+)\n(.*?)-->\n\Z", text, flags=re.DOTALL)
    if found is None:
        return Rendering()
    lines = [line.partition(": ") for line in found[2].splitlines() if line]
    return Rendering(found[1], [name for name, colon, _ in lines if not colon], {slug: mark for slug, colon, mark in lines if colon})


def stamp(folder: Path) -> str:
    """Hash of the tables and of the code that renders them, the claims that attacks declare included."""
    from bench.report import declarations

    digest = hashlib.sha256(_code())
    for path in [folder / SCORES_FILE, *images_files(folder)]:
        digest.update(path.read_bytes() if path.is_file() else b"\0")
    digest.update(declarations.fingerprint().encode())
    return digest.hexdigest()[:16]


def mark(rows: pd.DataFrame, images: pd.DataFrame) -> str:
    """Hash of all that a grid's page and pictures are made of: its score rows, their image rows, and the code.

    The rows count in the types of the schema, which no version of pandas changes.
    """
    import pyarrow as pa

    digest = hashlib.sha256(_code())
    for table, sink in ((to_table(rows, "scores"), pa.BufferOutputStream()), (to_table(images, "images"), pa.BufferOutputStream())):
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        digest.update(sink.getvalue())
    return digest.hexdigest()[:16]


@functools.cache
def _code() -> bytes:
    """Hash of the code that renders, and of what it computes with."""
    sources = sorted([*Path(__file__).parent.glob("*.py"), *_USED])
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).digest()
