"""Pairings: one-to-one is one-to-one and best, nearest is nearest, and order does not matter."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.metrics.match import nearest, one_to_one

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**31))


def cost_of(shape: tuple[int, int, int]) -> torch.Tensor:
    m, n, seed = shape
    return torch.rand(m, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def total(cost: torch.Tensor, partner: torch.Tensor) -> float:
    return float(sum(cost[i, j] for i, j in enumerate(partner.tolist()) if j >= 0))


@given(SHAPES)
def test_one_to_one_is_one_to_one_and_cheapest(shape: tuple[int, int, int]) -> None:
    cost = cost_of(shape)
    m, n = cost.shape
    partner = one_to_one(cost)
    used = [j for j in partner.tolist() if j >= 0]
    assert len(used) == len(set(used)) == min(m, n)
    if m <= n:
        best = min(sum(float(cost[i, j]) for i, j in enumerate(p)) for p in itertools.permutations(range(n), m))
    else:
        best = min(sum(float(cost[i, j]) for j, i in enumerate(p)) for p in itertools.permutations(range(m), n))
    assert total(cost, partner) == pytest.approx(best)


@given(SHAPES)
def test_permutations_of_either_side_carry_over(shape: tuple[int, int, int]) -> None:
    cost = cost_of(shape)
    generator = torch.Generator().manual_seed(shape[2] + 1)
    rows, columns = (torch.randperm(k, generator=generator) for k in cost.shape)
    permuted = cost[rows][:, columns]
    for pair in (one_to_one, nearest):
        before, after = pair(cost)[rows], pair(permuted)
        carried = torch.where(after >= 0, columns[after.clamp_min(0)], -1)
        assert torch.equal(before, carried)


@given(SHAPES)
def test_more_columns_never_cost_more(shape: tuple[int, int, int]) -> None:
    m, n, seed = shape
    cost = cost_of((m, m + n, seed))
    few = cost[:, :m]
    assert total(cost, one_to_one(cost)) <= total(few, one_to_one(few)) + 1e-12
    assert bool((cost.amin(1) <= few.amin(1)).all())


def test_nearest_may_repeat_and_one_to_one_may_not() -> None:
    cost = torch.tensor([[0.1, 0.5], [0.2, 0.9]])
    assert nearest(cost).tolist() == [0, 0]
    assert one_to_one(cost).tolist() == [1, 0]  # 0.5 + 0.2 < 0.1 + 0.9


def test_without_columns_nobody_has_a_partner() -> None:
    assert one_to_one(torch.zeros(3, 0)).tolist() == [-1, -1, -1]
    assert nearest(torch.zeros(3, 0)).tolist() == [-1, -1, -1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("pair", [one_to_one, nearest])
def test_costs_must_be_finite(pair, bad: float) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BenchError, match="1 of 4 are NaN or infinite"):
        pair(torch.tensor([[0.0, bad], [1.0, 2.0]]))
