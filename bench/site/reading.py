"""How to read it all: the sections of the guides that say so, and what the columns mean."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench import registry
from bench.report import markdown
from bench.report.kit.groups import Group

SECTIONS = (  # of which guide, by the heading
    ("results/README.md", "How to read the leaderboard"),
    ("results/README.md", "How to read a line"),
    ("bench/tracks/README.md", "Threat model"),
    ("bench/tracks/README.md", "Verified"),
    ("results/README.md", "Limits"),
)


def text(groups: Sequence[Group]) -> str:
    """As Markdown. An installed package has no guides: then the columns alone."""
    found = [section for file, heading in SECTIONS if (section := _section(file, heading))]
    columns = ["## What the columns mean", "", *markdown.meanings(groups)] if groups else []
    return "\n\n".join([*found, "\n".join(columns)])


def _section(file: str, heading: str) -> str:
    path = registry.ROOT / file
    if not path.is_file():
        return ""
    match = re.search(rf"^## {re.escape(heading)}\n.*?(?=^## |\Z)", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return match[0].rstrip() if match else ""
