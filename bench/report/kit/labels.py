"""Labels of pictures: short, on few lines, what varies first, and never two alike.

A label that is cut off says nothing if its neighbours are cut off to the same words. So words that all labels share are left out before
any other, and what is still alike is numbered.
"""

from __future__ import annotations

import itertools
import textwrap
from collections import Counter
from collections.abc import Sequence

from bench.report.kit.text import clean

LIMIT = 44  # characters of what one axis contributes to a label


def distinct(texts: Sequence[object], limit: int = LIMIT) -> list[str]:
    """Each text as one line of at most ``limit`` characters (8 or more), no two of them alike.

    Texts that would be cut off to the same words lose their common beginning instead; what then is alike is numbered.
    """
    words = [clean(text, 10_000) for text in texts]
    found = [clean(text, limit) for text in words]
    for alike in (label for label, count in Counter(found).items() if count > 1):
        mine = [i for i, label in enumerate(found) if label == alike]
        split = [words[i].split(" ") for i in mine]
        shared = sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, zip(*split, strict=False)))
        if shared and len({words[i] for i in mine}) > 1:
            for i, parts in zip(mine, split, strict=True):
                found[i] = clean("… " + " ".join(parts[shared:]), limit)
    return apart(found, limit)


def apart(labels: Sequence[str], limit: int | None = None) -> list[str]:
    """The labels, with a number after each that stands there already.

    Args:
        limit: characters that a label may have, its number included; None: any.
    """
    found: list[str] = []
    taken = set(labels)
    for label in labels:
        name, k = label, 1
        while name in found or (k > 1 and name in taken):
            k += 1
            end = f" ({k})"
            name = label + end if limit is None or len(label + end) <= limit else label[: limit - len(end) - 1] + "…" + end
        found.append(name)
    return found


def short(texts: Sequence[str], limit: int = 2 * LIMIT) -> list[str]:
    """`distinct` of those that differ; equal ones stay equal."""
    different = list(dict.fromkeys(texts))
    return [dict(zip(different, distinct(different, limit), strict=True))[text] for text in texts]


def ticks(points: Sequence[Sequence[str]], width: int, *, broken: bool = False) -> list[str]:
    """A label for each setting, of lines of about ``width`` characters: its value on the last axis, which varies fastest, stands first.

    Args:
        points: the values of each setting on the axes, in grid order.
        broken: break also words that are longer than a line.
    """
    inner = len(points[0]) - 1 if points else 0
    columns = [short(_telling(column, outer=position < inner), LIMIT) for position, column in enumerate(zip(*points, strict=True))]
    parts = zip(*columns[::-1], strict=True) if columns else [()] * len(points)
    return apart(["\n".join(line for part in label for line in lines(part, width, broken=broken)) or "all" for label in parts])


def lines(text: str, width: int, *, broken: bool = False) -> list[str]:
    """A text in lines of about ``width`` characters, each between words unless words are ``broken``; none for an empty text."""
    return textwrap.wrap(text, width, break_long_words=broken)


def widest(labels: Sequence[str]) -> int:
    """Characters of the longest line."""
    return max((len(line) for label in labels for line in label.splitlines()), default=0)


def tallest(labels: Sequence[str]) -> int:
    """Lines of the tallest label."""
    return max((label.count("\n") + 1 for label in labels), default=0)


def _telling(values: Sequence[str], outer: bool) -> list[str]:
    """Values without the parts between commas that all of them share; of outer axes without any that the others make superfluous."""
    different = len(set(values))
    rows = [value.split(", ") for value in values]
    position = 0
    while different > 1 and position < min(map(len, rows)):
        rest = [row[:position] + row[position + 1 :] for row in rows]
        shared = len({row[position] for row in rows}) == 1
        if all(rest) and (shared or outer) and len({tuple(row) for row in rest}) == different:
            rows = rest
        else:
            position += 1
    return [", ".join(row) for row in rows]
