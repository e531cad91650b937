"""Defences of what an owner grants: masked explanations, a number of answers, tiers that are withheld."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import registry
from bench.api import Architecture, Setting
from bench.engine.plan import plan
from bench.errors import BenchError
from bench.grids.read import load
from bench.targets.oracle import Asked
from bench.tracks.reconstruction.work import example, narrow, obtain
from defenses.gradient_masking import GradientMasking
from defenses.secret_start import SecretStart

NET = Architecture("mlp", (3, 6, 6), (8,), 3, "relu", "first", "ce")
SMALL = {"dataset": "photo_tiles", "n_per_class": 2, "hidden": [8], "epochs": 5}


def oracle(defense: GradientMasking) -> Asked:
    whole, _ = example(NET, 0)
    return Asked(NET, whole.weights, whole.mean_image, defense=defense, name="one")


def ask(asked: Asked, count: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return asked.gradients(torch.rand(count, 3, 6, 6, generator=generator), torch.randn(count, 2, 3, generator=generator))


PLAIN = GradientMasking()


def test_without_a_mask_gradients_are_told_as_they_are():
    whole, _ = example(NET, 0)
    assert torch.equal(ask(oracle(PLAIN)), ask(Asked(NET, whole.weights, whole.mean_image)))


@settings(max_examples=20, deadline=None)
@given(bits=st.integers(2, 16))
def test_a_rounded_gradient_is_at_most_half_a_step_away(bits):
    true, told = ask(oracle(PLAIN)).flatten(2), ask(oracle(GradientMasking(bits=bits))).flatten(2)
    step = true.abs().amax(2, keepdim=True) / (2 ** (bits - 1) - 1)
    assert bool(((told - true).abs() <= step / 2 * 1.01).all()), "but for the rounding of float32"


@settings(max_examples=20, deadline=None)
@given(top=st.floats(0.001, 0.999))
def test_the_largest_pixels_are_told_and_no_others(top):
    true, told = ask(oracle(PLAIN)).flatten(2), ask(oracle(GradientMasking(top=top))).flatten(2)
    kept = told != 0
    assert bool((kept.sum(2) <= max(1, round(top * 108))).all())
    assert torch.equal(told[kept], true[kept])
    least = torch.where(kept, true.abs(), torch.inf).amin(2)
    assert bool((torch.where(kept, 0.0, true.abs()).amax(2) <= least).all())


def test_noise_is_drawn_anew_for_every_answer_and_again_for_every_attacker():
    defense, true = GradientMasking(noise=1.0), ask(oracle(PLAIN))
    one = oracle(defense)
    first, second, other = ask(one), ask(one), ask(one.granting(frozenset({"input_gradients"})))
    assert not torch.equal(first, second)
    assert torch.equal(first, other)
    ratio = (first - true).flatten(2).std(2) / true.flatten(2).std(2)
    assert 0.8 < float(ratio.mean()) < 1.2


def test_a_budget_counts_answers_of_any_kind():
    one = oracle(GradientMasking(budget=10)).granting(frozenset({"queries", "input_gradients"}))
    assert one.limit == 10
    ask(one)
    one.logits(torch.rand(2, 3, 6, 6))
    with pytest.raises(BenchError, match="refuses"):
        one.logits(torch.rand(1, 3, 6, 6))


def test_a_mask_that_is_none_is_refused():
    class Broken(GradientMasking):
        def explained(self, gradients, generator):
            return gradients.flatten(2)

    with pytest.raises(BenchError, match="masks gradients into something else"):
        ask(oracle(Broken()))


@pytest.mark.parametrize("wrong", [{"noise": -1.0}, {"top": 0.0}, {"top": 1.1}, {"bits": 1}, {"bits": 17}, {"budget": -1}])
def test_masks_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GradientMasking(**wrong)


def test_the_network_behind_a_mask_is_the_one_without(tmp_path):
    plain, masked = (obtain([Setting(**SMALL, defense=name)])[0] for name in ("none", "gradient_masking"))
    assert not hasattr(masked.release, "weights")
    assert not hasattr(masked.release, "mean_image")
    asked = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(masked.release.oracle.logits(asked), plain.release.oracle.logits(asked))
    assert torch.equal(masked.secret.members, plain.secret.members)


def test_a_secret_start_is_in_no_release():
    plain, secret = (obtain([Setting(**SMALL, defense=name)])[0] for name in ("none", "secret_start"))
    assert hasattr(plain.release, "initial_weights")
    assert not hasattr(secret.release, "initial_weights")
    for name, w in plain.release.weights.items():
        torch.testing.assert_close(secret.release.weights[name], w)
    with pytest.raises(BenchError, match="no initial_weights"):
        narrow(secret.release, frozenset({"final_weights", "initial_weights"}))


def test_an_attack_that_needs_what_is_withheld_is_skipped_and_the_reason_said(tmp_path):
    grid = tmp_path / "kept.yaml"
    grid.write_text(
        "name: kept\nbase: {dataset: photo_tiles, n_per_class: 2, hidden: [8], epochs: 5}\nseeds: 1\n"
        "axes:\n  defence:\n    - {label: none, set: {defense: none}}\n    - {label: secret, set: {defense: secret_start}}\n"
        "attacks: [span_ica, span_ica_change]\n"
    )
    cells = {(cell.axis["defence"], cell.attack.spec.name): cell for cell in plan(load(str(grid)), {}).cells}
    assert {key for key, cell in cells.items() if cell.state == "to run"} == set(cells) - {("secret", "span_ica_change")}
    skipped = cells["secret", "span_ica_change"]
    assert skipped.state == "unsupported"
    assert skipped.reason == "needs initial_weights, which the owner withholds (defence secret_start)"
    assert SecretStart.withholds == {"initial_weights"}
    assert registry.get("defense", "none").withholds == frozenset()
