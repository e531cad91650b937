"""Defences that change the released weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import registry
from defenses.pruning import Pruning
from defenses.quantization import Quantization
from defenses.rounding import Rounding
from defenses.span_noise import FIRST, SpanNoise
from defenses.weight_noise import WeightNoise


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("bits", [-1, 0, 1, 17])
@pytest.mark.parametrize("defence", [Rounding, Quantization])
def test_a_number_of_bits_that_means_nothing_is_refused(defence, bits):
    with pytest.raises(ValueError, match="from 2 to 16"):
        defence(bits=bits)


@pytest.mark.parametrize("bits", [2, 5, 16])
def test_rounded_weights_lie_on_that_many_levels(bits):
    w = drawn(200, 50)
    rounded = Rounding(bits=bits).after_training({"w": w}, torch.Generator())["w"]
    assert len(rounded.unique()) <= 2**bits - 1
    assert float((rounded - w).abs().max()) <= float(w.abs().max()) / (2 ** (bits - 1) - 1) / 2 + 1e-12


@settings(max_examples=40, deadline=None)
@given(bits=st.integers(2, 16), per=st.sampled_from(["tensor", "row"]), seed=st.integers(0, 2**31), scale=st.floats(1e-6, 1e6))
def test_a_quantised_weight_is_at_most_half_a_step_away(bits, per, seed, scale):
    w = scale * drawn(7, 5, seed=seed) * torch.logspace(-3, 3, 7, dtype=torch.float64)[:, None]
    got = Quantization(bits=bits, per=per).after_training({"w": w, "b": w[:, 0]}, torch.Generator())
    largest = w.abs().amax(1, keepdim=True) if per == "row" else w.abs().max().expand(7, 1)
    step = largest / (2 ** (bits - 1) - 1)
    assert bool(((got["w"] - w).abs() <= step / 2 * (1 + 1e-9)).all())
    assert all(len(row.unique()) <= 2**bits - 1 for row in got["w"])
    assert bool(((got["b"] - w[:, 0]).abs() <= w[:, 0].abs().max() / (2 ** (bits - 1) - 1) / 2 * (1 + 1e-9)).all())


def test_a_scale_of_its_own_keeps_the_digits_of_a_small_unit():
    w = drawn(4, 300) * torch.tensor([1.0, 1.0, 1.0, 1e-3], dtype=torch.float64)[:, None]
    by_tensor, by_row = (Quantization(bits=4, per=per).after_training({"w": w}, torch.Generator())["w"] for per in ("tensor", "row"))
    assert bool((by_tensor[3] == 0).all())
    assert float((by_row[3] - w[3]).norm() / w[3].norm()) < 0.2
    assert torch.equal(by_tensor, Rounding(bits=4).after_training({"w": w}, torch.Generator())["w"]), (
        "a scale a tensor is what rounding does"
    )


def test_weights_that_are_all_zero_stay_so():
    for defence in (Quantization(per="row"), Quantization(per="tensor"), Pruning()):
        assert not bool(defence.after_training({"w": torch.zeros(3, 4)}, torch.Generator())["w"].any())


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 0.999), rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 99))
def test_pruning_keeps_exactly_so_many_and_the_largest(share, rows, columns, seed):
    w = drawn(rows, columns, seed=seed)
    got = Pruning(share=share).after_training({"w": w, "bias": w[0]}, torch.Generator())
    kept = got["w"] != 0
    assert int(kept.sum()) == w.numel() - round(share * w.numel())
    assert torch.equal(got["w"][kept], w[kept])
    if kept.any() and not kept.all():
        assert float(w[kept].abs().min()) >= float(w[~kept].abs().max())
    assert torch.equal(got["bias"], w[0])


def test_of_equal_weights_pruning_keeps_as_many():
    assert int((Pruning(share=0.5).after_training({"w": torch.ones(4, 4)}, torch.Generator())["w"] != 0).sum()) == 8


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_means_nothing_is_refused(share):
    with pytest.raises(ValueError, match="share"):
        Pruning(share=share)


@pytest.mark.parametrize("std", [-0.1, float("nan")])
def test_noise_is_not_negative(std):
    for defence in (lambda: WeightNoise(relative_std=std), lambda: SpanNoise(noise=std)):
        with pytest.raises(ValueError, match="from 0 on"):
            defence()


# --- span_noise -------------------------------------------------------------------------------------------------------------------------


def low_rank(units: int = 30, pixels: int = 60, rank: int = 8) -> torch.Tensor:
    """Directions of sizes 8, 7, … 1."""
    left, right = torch.linalg.qr(drawn(units, rank))[0], torch.linalg.qr(drawn(pixels, rank, seed=1))[0]
    return left * torch.arange(rank, 0, -1, dtype=torch.float64) @ right.mT


@settings(max_examples=15, deadline=None)
@given(keep=st.integers(1, 8), noise=st.floats(0, 1.0))
def test_the_leading_directions_stay_and_noise_fills_the_others(keep, noise):
    first = low_rank()
    weights = {FIRST: first, "layers.1.weight": drawn(1, 30)}
    got = SpanNoise(keep=keep, noise=noise).released(weights, {FIRST: torch.zeros(30, 60)}, torch.Generator().manual_seed(3))
    assert torch.equal(got["layers.1.weight"], weights["layers.1.weight"])
    lead = torch.linalg.svd(first)[2][:keep]
    torch.testing.assert_close(got[FIRST] @ lead.mT, first @ lead.mT, atol=1e-6, rtol=0)
    outside = got[FIRST] - got[FIRST] @ lead.mT @ lead
    largest, least = float(torch.linalg.matrix_norm(outside, 2)), 9 - keep  # the least that is kept
    assert abs(largest - noise * least) < 1e-5
    if noise > 0.01 and keep < 8:
        dropped = torch.linalg.svd(first)[2][keep : keep + 1]
        share = (outside @ dropped.mT).norm() / (first @ dropped.mT).norm()
        assert float(share) < 2 * noise * least / (8 - keep), "nothing of the next direction but noise"


def test_of_a_known_start_what_training_added_is_cut_and_the_start_stays():
    start = drawn(30, 60, seed=2)
    weights = {FIRST: 0.5 * start + 10 * low_rank()}
    got = SpanNoise(keep=3, noise=0.0).released(weights, {FIRST: start}, torch.Generator())[FIRST]
    lead = torch.linalg.svd(got - 0.5 * start)[1]
    assert float(lead[3] / lead[2]) < 0.2, "the start is left, less what decay took, and three directions"


def test_convolutions_have_no_span():
    weights = {FIRST: drawn(4, 3, 3, 3)}
    assert torch.equal(SpanNoise().released(weights, weights, torch.Generator())[FIRST], weights[FIRST])


def test_keep_is_at_least_one():
    with pytest.raises(ValueError, match="keep"):
        SpanNoise(keep=0)


# --- who knows of it --------------------------------------------------------------------------------------------------------------------

# no defence, a watermark, and augmentation, of which no attack knows yet, so that the page does not judge it
PLANTS = {"none", "memorized_examples", "augmentation"}


@pytest.mark.parametrize("name", sorted(set(registry.entries("defense")) - PLANTS))
def test_every_defence_names_attacks_that_know_of_it(name):
    cls = registry.get("defense", name)
    assert cls.against, f"{name} names no attack that knows of it, so no page would call it effective"
    for attack in cls.against:
        assert registry.get("attack", attack).role == "attack"
