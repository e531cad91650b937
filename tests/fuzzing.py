"""How many cases a fuzzing test tries, and damage to files. ``RECONBENCH_FUZZ=70`` tries seventy times as many, other ones each time."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st

FACTOR = max(1, int(os.environ.get("RECONBENCH_FUZZ") or 1))
planned: dict[str, int] = {}  # test → cases
tried: Counter[str] = Counter()  # test → cases that came to an end; fewer than planned where there are no more to be found


def cases(n: int) -> Callable[[Any], Any]:
    """Marks a test with `given` as one of fuzzing, of so many cases in the suite."""

    def mark(test: Any) -> Any:
        name = f"{test.__module__}.{test.__qualname__}"
        planned[name] = n * FACTOR
        inner = test.hypothesis.inner_test

        @functools.wraps(inner)
        def counted(*args: Any, **kwargs: Any) -> None:
            inner(*args, **kwargs)
            tried[name] += 1

        test.hypothesis.inner_test = counted
        return pytest.mark.fuzz(settings(max_examples=n * FACTOR, deadline=None)(test))

    return mark


# what happens to a file: cut off, some bits flipped, bytes written over, bytes put in
damage = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1, exclude_max=True), st.just(b"")),
    st.tuples(st.just("flip"), st.floats(0, 1, exclude_max=True), st.integers(0, 7).map(lambda bit: bytes([1 << bit]))),
    st.tuples(st.just("write"), st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=16)),
    st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=16)),
)


def damaged(content: bytes, how: tuple[str, float, bytes]) -> bytes:
    """The content after one of these."""
    kind, share, more = how
    where = int(share * len(content))
    if kind == "cut":
        return content[:where]
    if kind == "flip":
        return content[:where] + bytes([content[where] ^ more[0]]) + content[where + 1 :]
    return content[:where] + more + content[where + (len(more) if kind == "write" else 0) :]


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
