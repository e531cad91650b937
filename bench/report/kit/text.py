"""Numbers and foreign text in Markdown: one way to print an interval, and no name or reason that can break a table."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bench.metrics.intervals import Interval
from bench.report.kit.transplants import FLAG

if TYPE_CHECKING:
    from bench.report.kit.groups import Group

GENERATED = "<!-- Generated from scores/*.parquet and images/*.parquet by `python -m bench report`. Do not edit. -->"
GENERATED_BEFORE = GENERATED.replace("scores/*.parquet", "scores.parquet")  # by earlier versions
NONE = "—"
MOST_COLUMNS, MOST_LINES = 8, 40  # of a table that is not folded
_SPECIAL = re.compile(r"([\\`*\[\]|])")
_EDGE_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def escape(text: object, limit: int = 300) -> str:
    """Text from plug-ins and data as plain words in a Markdown table: no markup, no HTML, one line, of bounded length."""
    words = clean(text, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    words = _SPECIAL.sub(r"\\\1", words)
    words = _EDGE_UNDERSCORE.sub(r"\\_", words)
    return re.sub(r"\b(https?|ftp)://", r"\1&#58;//", words)  # no links that a plug-in chose


def clean(text: object, limit: int = 40) -> str:
    """Text from plug-ins and data as one short line for a picture."""
    whole = str(text)
    words = " ".join((whole if whole.isprintable() else "".join(c if c.isprintable() else " " for c in whole)).split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """A pipe table; columns whose positions are in ``right`` are aligned right. One that is wide or tall is folded."""
    lines = unfolded(head, rows, right)
    if len(head) <= MOST_COLUMNS and len(lines) - 2 <= MOST_LINES:
        return lines
    return folded(f"Table of {len(head)} columns, {len(lines) - 2} lines", lines)


def unfolded(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """The same, whatever its size."""
    aligned = set(right)
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("--:" if i in aligned else ":--" for i in range(len(head))) + "|"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def folded(summary: str, lines: Sequence[str]) -> list[str]:
    """Lines that show when the summary is clicked. Without the empty lines Markdown is not read inside."""
    return ["<details>", f"<summary>{summary}</summary>", "", *lines, *([] if lines[-1:] == [""] else [""]), "</details>"]


def few(places: Sequence[str], most: int = 3) -> str:
    """The names of settings; of many how many they are."""
    return ", ".join(places) if len(places) <= most else f"{len(places)} settings"


def number(value: float | None, decimals: int = 2) -> str:
    """A number, or a dash."""
    if value is None:
        return NONE
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def signed(value: float | None, decimals: int = 2) -> str:
    """A number with its sign, or a dash."""
    if value is None:
        return NONE
    text = f"{value:+.{decimals}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def interval(value: Interval | None) -> str:
    """Estimate and interval of a difference; of a single seed, whose interval has no ends, the estimate."""
    if value is None:
        return NONE
    return f"{signed(value.estimate)} [{signed(value.low)}, {signed(value.high)}]" if math.isfinite(value.low) else signed(value.estimate)


def value_of(group: Group, value: float) -> str:
    """A value of a line's headline: with its sign where it may be negative."""
    return signed(value) if group.headline.low < 0 else number(value)


def of_headline(group: Group) -> str:
    """A line's headline and its interval."""
    if group.excess is None:
        return NONE
    estimate, low, high = (value_of(group, value) for value in group.excess)
    return f"{estimate} [{low}, {high}]"


def hits(pair: tuple[int, int] | None) -> str:
    """Images above the threshold, of how many."""
    return NONE if pair is None else f"{pair[0]} / {pair[1]}"


def share(pair: tuple[int, int] | None, value: Interval | None) -> str:
    """The same with the recall's interval, in per cent."""
    if pair is None or value is None:
        return hits(pair)
    return f"{hits(pair)} [{100 * value.low:.0f}, {100 * value.high:.0f}] %"


def general(value: float | None) -> str:
    """A number of any size, in three significant digits."""
    return NONE if value is None else f"{value:.3g}"


def seconds(value: float | None) -> str:
    """A duration."""
    if value is None:
        return NONE
    if value >= 3600:
        return f"{value / 3600:.1f} h"
    if value >= 100:
        return f"{value / 60:.1f} min"
    return f"{value:.1f} s"


def spread(values: Sequence[float], decimals: int = 2) -> str:
    """One number, or the range of several."""
    if not values:
        return NONE
    low, high = number(min(values), decimals), number(max(values), decimals)
    return low if low == high else f"{low} to {high}"


def plain(value: Any) -> str:
    """A setting's value as settings tables print it."""
    if value is None:
        return "default"
    if isinstance(value, float):
        return f"{int(value)}" if value.is_integer() and abs(value) < 1e15 else f"{value:g}"
    return str(value)


def attack_name(group: Group) -> str:
    """Name, marked when it is a control, or its score does not hang on the weights; of a submission with who and when."""
    if group.role == "control":
        return f"*{escape(group.name)}* (control)"
    whose = f" (by {escape(group.submitted)})" if group.submitted else ""
    return f"{escape(group.name)}{whose} (**{FLAG}**)" if group.flagged else f"{escape(group.name)}{whose}"


def axis_labels(group: Group, names: Sequence[str]) -> list[str]:
    """The first cells of a line: its values on the axes."""
    return [escape(group.axis.get(name, "")) for name in names] or ["all"]


def axis_heads(names: Sequence[str]) -> list[str]:
    """The headings above them."""
    return [escape(name) for name in names] or ["setting"]
