"""The seeds that a built-in grid fixes in advance, so that its page can say which of them have not run."""

from __future__ import annotations

import functools

from bench.grids.read import SMALL, builtin, load


@functools.cache
def promised(grid: str) -> tuple[int, ...]:
    """Of the built-in grid whose rows bear this name; empty where there is none.

    Args:
        grid: a grid's name; at a larger scale with the scale behind it, as in ``width_medium``.
    """
    for name in builtin():
        scale = SMALL if grid == name else grid.removeprefix(f"{name}_")
        if grid == name or (scale != grid and scale in load(name).grid.scales):
            return tuple(load(name, scale=scale).grid.seeds)
    return ()
