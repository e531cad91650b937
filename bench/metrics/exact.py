"""Exact one-sided tests of "members and controls are drawn alike": Fisher's of hits, Mann and Whitney's of ranks.

Both are conditional on nothing but the draw of the sides, which is a coin's. Of hits: of all images that are hits, how many would fall to
the members by chance (the hypergeometric distribution). Of ranks: how often members would score above controls. Several networks are pooled
by their sums.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.errors import BenchError

MOST_PAIRS = 10_000  # members × controls whose ranks are counted out; beyond, the normal distribution is as good


def more_hits(members: tuple[int, int], controls: tuple[int, int]) -> float:
    """The chance of so many hits among the members or more, given how many hits there are: Fisher's exact test, one-sided.

    Args:
        members, controls: hits, of how many.

    Raises:
        BenchError: more hits than images, or a negative number.
    """
    from scipy.special import gammaln

    (a, n), (b, m) = members, controls
    if not (0 <= a <= n and 0 <= b <= m):
        raise BenchError("hits do not fit the images", expected="hits from 0 to the number of images", got=f"{a} of {n}, {b} of {m}")
    k = np.arange(a, min(n, a + b) + 1)

    def choose(total: int, some: Any) -> Any:
        """Logarithm of the number of ways to choose some."""
        return gammaln(total + 1) - gammaln(some + 1) - gammaln(total - some + 1)

    logs = choose(n, k) + choose(m, a + b - k) - choose(n + m, a + b)
    return float(min(1.0, np.exp(logs).sum()))


def higher_ranks(found: Sequence[tuple[float, int, int]]) -> float:
    """The chance that members score above controls as often as that or more: Mann and Whitney's test, one-sided, over several networks.

    Exact where members × controls are at most ``MOST_PAIRS`` in each; ties count half and make it careful.

    Args:
        found: of each network the AUC, the number of members, and that of controls.
    """
    sums = sum(auc * n * m for auc, n, m in found)
    if all(n * m <= MOST_PAIRS for _, n, m in found):
        chances = functools.reduce(np.convolve, (_ranks(n, m) for _, n, m in found))
        return float(min(1.0, chances[math.floor(sums + 1e-6) :].sum()))
    mean = sum(n * m / 2 for _, n, m in found)
    spread = math.sqrt(sum(n * m * (n + m + 1) / 12 for _, n, m in found))
    return 0.5 * math.erfc((sums - 0.5 - mean) / spread / math.sqrt(2))


@functools.lru_cache(maxsize=16)
def _ranks(n: int, m: int) -> np.ndarray:
    """The chances of 0, 1, …, n·m pairs in which the member is above, of n members and m controls drawn alike.

    The highest image is a member with the chance n / (n + m), and is then above all m controls.
    """
    row = [np.eye(1, n * m + 1)[0] for _ in range(m + 1)]  # of no member, of 0 … m controls
    for i in range(1, n + 1):
        fresh = [np.eye(1, n * m + 1)[0]]
        for j in range(1, m + 1):
            above = np.concatenate([np.zeros(j), row[j][: n * m + 1 - j]])
            fresh.append((i * above + j * fresh[j - 1]) / (i + j))
        row = fresh
    return row[m]
