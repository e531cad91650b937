"""What a reader of a Markdown page sees: rows without markup, and tables that are not folded."""

from __future__ import annotations

import html
import re

MOST_LINES, MOST_COLUMNS, WIDEST = 120, 8, 160


def shown(row: str) -> str:
    """A row as it is rendered: links as their text, no emphasis, no escapes."""
    row = re.sub(r"(?<!\\)\[((?:[^\]\\]|\\.)*)\]\([^)]*\)", r"\1", row)
    return html.unescape(re.sub(r"\\(.)", r"\1", row.replace("**", "")))


def open_tables(text: str) -> list[list[str]]:
    """The tables outside of ``<details>``, row by row."""
    text = re.sub(r"(?s)<details>.*?</details>", "", text)
    return [block.splitlines() for block in re.findall(r"(?m)(?:^\|.*\n?)+", text)]


def columns(row: str) -> int:
    """Cells of a row."""
    return len(re.findall(r"(?<!\\)\|", row)) - 1


def faults(text: str) -> list[str]:
    """What is wrong with any page: a table too wide that is not folded, or a fold in which Markdown is not read."""
    found = [f"{columns(rows[0])} columns: {rows[0][:100]}" for rows in open_tables(text) if columns(rows[0]) > MOST_COLUMNS]
    folds = text.count("<details>")
    if {len(re.findall(r"<details>\n<summary>.*</summary>\n\n", text)), text.count("\n\n</details>")} != {folds}:
        found.append("a fold without an empty line after its summary, or before its end")
    return found


def opening_faults(text: str) -> list[str]:
    """What is missing above the first heading, picture and table of a page: its answer, and the command that makes it."""
    body = re.split(r"(?m)^# ", text, maxsplit=1)[-1]
    head = re.split(r"(?m)^(?:##|!\[|\|)", body)[0]
    return [word for word in ("**Answer", "**Command.** `") if word not in head]
