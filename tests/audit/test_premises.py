"""Whether a span holds more of the members is a test that is right at any number of images."""

from __future__ import annotations

import pytest
import torch

from bench.audit import premises


def drawn(n: int, d: int, of: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(of), dtype=torch.float64)


def test_a_span_of_the_members_holds_with_the_chance_of_all_ways_to_call_them_so() -> None:
    members, controls = drawn(10, 60, 0).split(5)
    rows = drawn(30, 5, 1) @ (members - torch.cat([members, controls]).mean(0))
    found, facts = premises.span(rows, members, controls, "the layer", "' features")
    assert found.holds
    assert "hold 100% of the energy of the members' features" in found.words
    assert "p 0.004;" in found.words, "1 of 252"
    assert facts["span_auc"] == 1.0
    turned, _ = premises.span(rows, controls, members, "the layer")
    assert not turned.holds
    assert "p 1.000" in turned.words


@pytest.mark.parametrize("n", [4, 5, 8, 20])
def test_a_layer_that_knows_nothing_holds_in_one_of_twenty_at_most(n: int) -> None:
    held = [premises.span(drawn(12, 30, 3 * i), drawn(n, 30, 3 * i + 1), drawn(n, 30, 3 * i + 2), "the layer")[0].holds for i in range(100)]
    assert sum(held) <= 12  # a chance of 0.05 gives more in one of five hundred such tests


def test_two_of_each_can_tell_nothing() -> None:
    members, controls = drawn(4, 60, 0).split(2)
    found, _ = premises.span(members - controls.mean(0), members, controls, "the layer")
    assert not found.holds
