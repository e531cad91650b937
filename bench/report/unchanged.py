"""What the pages of a results folder were made of, so that a run renders only those that it changes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bench import regular
from bench.schema import to_table
from bench.store import images_files, scores_files
from bench.store.submissions import fingerprint, submissions
from bench.store.verified import FILE as VERIFIED_FILE


@dataclass(frozen=True)
class Rendering:
    """As the comment at the end of the leaderboard says."""

    stamp: str = ""  # of both tables and the claims
    files: list[str] = field(default_factory=list)  # relative to the folder, without the leaderboard
    marks: dict[str, str] = field(default_factory=dict)  # a grid's slug → hash of its rows

    def comment(self) -> str:
        """As Markdown that shows nothing."""
        marks = [f"{slug}: {mark}" for slug, mark in self.marks.items()]
        return "\n".join(["", f"<!-- tables and claims: {self.stamp}", ", ".join(marks), ", ".join(self.files), "-->", ""])


def last_rendering(folder: Path) -> Rendering:
    """What the leaderboard says; nothing if there is none, or it says nothing."""
    try:
        text = regular.read(folder / "leaderboard.md").decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return Rendering()
    found = re.search(r"<!-- tables and claims: ([0-9a-f]+)\n(.*?)-->\n\Z", text, flags=re.DOTALL)
    if found is None:
        return Rendering()
    lines = [part.partition(": ") for line in found[2].splitlines() for part in line.split(", ") if part]
    return Rendering(found[1], [name for name, colon, _ in lines if not colon], {slug: mark for slug, colon, mark in lines if colon})


def stamp(folder: Path) -> str:
    """Hash of the tables, that of verified attacks among them, of submissions, and of the claims that attacks declare."""
    from bench.claims import declarations

    digest = hashlib.sha256()
    for path in [*scores_files(folder), *images_files(folder)]:
        digest.update(regular.read(path))
    digest.update(declarations.fingerprint().encode())
    if (folder / VERIFIED_FILE).is_file():
        digest.update(regular.read(folder / VERIFIED_FILE))
    digest.update(fingerprint(submissions(folder)))
    return digest.hexdigest()[:16]


def mark(rows: pd.DataFrame, images: pd.DataFrame) -> str:
    """Hash of all that a grid's page and pictures are made of: its score rows and their image rows.

    The same whatever the versions of pandas and PyArrow, and before and after columns that are null for these rows came into the schema.
    """
    import pyarrow as pa

    digest = hashlib.sha256()
    for full in (to_table(rows, "scores"), to_table(images, "images")):
        names = sorted(name for name in full.column_names if full[name].null_count < full.num_rows)
        plain = pa.schema([(name, full.schema.field(name).type) for name in names])  # without descriptions, which may be reworded
        table, sink = pa.Table.from_arrays([full[name] for name in names], schema=plain), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        digest.update(sink.getvalue())
    return digest.hexdigest()[:16]
