"""The seeds that a grid fixes in advance, by the name that its rows bear."""

from __future__ import annotations

from bench.grids.promised import promised
from bench.grids.read import builtin, load


def test_it_is_those_of_the_file_at_each_scale():
    for name in builtin():
        grid = load(name).grid
        assert promised(grid.name) == tuple(grid.seeds)
        for scale in grid.scales:
            larger = load(name, scale=scale).grid
            assert promised(larger.name) == tuple(larger.seeds)


def test_of_a_grid_that_is_not_ours_nothing_is_known():
    assert promised("my_grid") == promised("width_huge") == promised("") == ()
