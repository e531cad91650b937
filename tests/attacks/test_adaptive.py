"""Attacks that know of a defence: on matrices of known span they undo what the plain ones cannot."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.denoised_kkt import ABOVE, DenoisedKKT, _within
from attacks.explained_by_directions import ExplainedByDirections
from attacks.explained_patiently import ExplainedPatiently
from attacks.span import directions
from attacks.span.asked import along, by_gradients, questions
from attacks.span.bounded import completed, intervals
from attacks.span.natural import Natural, principal
from bench.api import Architecture
from bench.targets.oracle import Asked
from bench.tracks.reconstruction.work import check_answer, example, narrow
from defenses.gradient_masking import GradientMasking
from defenses.pruning import Pruning
from defenses.quantization import Quantization

NET = Architecture("mlp", (3, 6, 6), (8,), 1, "relu", "first", "bce")


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sums(units: int = 120, pixels: int = 200, rank: int = 6) -> torch.Tensor:
    """A first layer: weighted sums of as many images as its rank."""
    return drawn(units, rank) @ drawn(rank, pixels, seed=1)


def error(found: torch.Tensor, true: torch.Tensor) -> float:
    return float((found - true).norm() / true.norm())


@settings(max_examples=15, deadline=None)
@given(bits=st.integers(3, 10), per=st.sampled_from(["tensor", "row"]), seed=st.integers(0, 99))
def test_intervals_hold_what_was_rounded(bits, per, seed):
    true = drawn(20, 300, seed=seed)
    told = Quantization(bits=bits, per=per).after_training({"w": true}, torch.Generator())["w"]
    low, high = intervals(told)
    slack = 1e-9 * float(true.abs().max())
    assert bool(((low - slack <= true) & (true <= high + slack)).all())


@settings(max_examples=15, deadline=None)
@given(share=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_intervals_hold_what_was_pruned_and_leave_the_rest(share, seed):
    true = drawn(20, 300, seed=seed)
    told = Pruning(share=share).after_training({"w": true}, torch.Generator())["w"]
    low, high = intervals(told)
    assert bool(((low <= true) & (true <= high)).all())
    kept = told != 0
    assert torch.equal(low[kept], true[kept])
    assert torch.equal(high[kept], true[kept])


@pytest.mark.parametrize("defence", [Quantization(bits=3, per="tensor"), Quantization(bits=3, per="row"), Pruning(share=0.5)])
def test_rounded_and_pruned_sums_of_images_are_found_again_in_their_intervals(defence):
    true = sums()
    told = defence.after_training({"w": true}, torch.Generator())["w"]
    assert error(completed(told, 6, 20), true) < 0.5 * error(told, true)


def test_what_was_neither_rounded_nor_pruned_stays_as_it_is():
    true = sums()
    assert torch.equal(completed(true, 6, 20), true)


def test_public_images_tell_a_span_from_noise_that_hides_it():
    pixels, rank = 3 * 32 * 32, 5
    basis = torch.linalg.qr(drawn(pixels, 40))[0]  # what images are made of
    public = (drawn(300, 40, seed=1) @ basis.mT).reshape(-1, 3, 32, 32)
    members = torch.linalg.qr((drawn(rank, 40, seed=2) @ basis.mT).mT)[0].mT
    rows = drawn(300, rank, seed=3) @ members + 0.45 * drawn(300, pixels, seed=4)

    def seen(found: torch.Tensor) -> float:  # the share of the members' energy in the span that was found
        return float((members @ found.mT).square().sum() / rank)

    plain, natural = directions(rows, rank, 1.02), Natural.of(rows, public).directions(rank, 1.02)
    assert seen(natural) > 0.8 > 0.6 > seen(plain)
    torch.testing.assert_close(natural @ natural.mT, torch.eye(len(natural), dtype=torch.float64), atol=1e-8, rtol=0)


def test_principal_directions_are_orthonormal_and_the_leading_ones():
    public = (drawn(50, 3, seed=1) * torch.tensor([9.0, 3.0, 1.0], dtype=torch.float64) @ drawn(3, 48, seed=2)).reshape(-1, 3, 4, 4)
    found = principal(public, 3)
    centred = (public - public.mean(0)).flatten(1)
    torch.testing.assert_close(found @ found.mT, torch.eye(3, dtype=torch.float64), atol=1e-9, rtol=0)
    spread = (centred @ found.mT).var(0)
    assert bool((spread[:-1] >= spread[1:]).all())


def test_noise_is_taken_away_before_the_equations_are_solved():
    release = narrow(example(NET, 0)[0], DenoisedKKT.needs)
    basis = directions(release.weights["layers.0.weight"], 2, ABOVE)
    inside = _within(release, basis).weights["layers.0.weight"].double()
    assert torch.linalg.matrix_rank(inside, rtol=1e-4) == 2
    torch.testing.assert_close(inside @ basis.mT, release.weights["layers.0.weight"].double() @ basis.mT, atol=1e-5, rtol=0)
    assert len(release.weights) == len(_within(release, basis).weights)


def test_differences_along_directions_are_the_gradients_in_them():
    whole, _ = example(NET, 0)
    release = narrow(whole, frozenset({"queries", "input_gradients", "public_images"}))
    asked = questions(release, 4, 0.1, torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(drawn(108, 5))[0].mT
    told = by_gradients(release, asked, torch.Generator().manual_seed(1)).double() @ basis.mT @ basis
    measured = along(release, asked, basis, 1e-2, torch.Generator().manual_seed(1)).double()
    assert float(torch.nn.functional.cosine_similarity(told, measured).min()) > 0.99
    assert release.oracle.used == 4 + 4 * 6


@pytest.mark.parametrize(("budget", "most"), [(0, 3 * 41), (60, 60), (20, 20)])
def test_who_takes_differences_asks_no_more_than_is_answered(budget, most):
    whole, _ = example(NET, 0)  # 40 public images
    one = Asked(NET, whole.weights, whole.mean_image, defense=GradientMasking(budget=budget), name="one")
    release = narrow(dataclasses.replace(whole, oracle=one), ExplainedByDirections.needs)
    found = check_answer(ExplainedByDirections(questions=3).reconstruct(release, torch.Generator().manual_seed(0)), release)
    assert most - 3 < found.used <= most


@pytest.mark.parametrize(("budget", "asked"), [(0, 60), (25, 25)])
def test_a_patient_attacker_asks_as_much_as_is_answered(budget, asked):
    whole, _ = example(NET, 0)
    masked = Asked(NET, whole.weights, whole.mean_image, defense=GradientMasking(noise=0.5, bits=4, budget=budget), name="one")
    release = narrow(dataclasses.replace(whole, oracle=masked), ExplainedPatiently.needs)
    attack = ExplainedPatiently(questions=60)
    found = check_answer(attack.reconstruct(release, torch.Generator().manual_seed(0)), release)
    assert found.used == asked
