"""The verdict of an audit: a word that says no more than was tested, and an exit code that goes with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from bench.api import Candidates
from bench.audit.premises import Premise
from bench.audit.scoring import Judgement
from bench.audit.verdict import INCONCLUSIVE, LEAKS, NO_LEAK, verdict

HOLDS, FAILS = Premise("KKT residual 0.400", True), Premise("KKT residual 0.990", False)


def scored(members: int, p: float, *, name: str = "some_kkt", premise: Premise | None = HOLDS, **more: Any) -> Judgement:
    """A judgement over 20 members and 20 controls."""
    row = {"n_members": 20, "n_controls": 20, "recall_members": members / 20, "recall_controls": 0.0, "excess_recall": members / 20}
    return Judgement(name, Candidates(torch.zeros(1, 1, 2, 2)), row, premise=premise, p_value=p, **more)


CONTROL = scored(0, 1.0, name="mean_image", premise=None, role="control")
IDLE = Judgement("idle", None, reason="not run: needs one output")
BROKEN = Judgement("broken", None, reason="failed: of course", failed=True)
BLIND = Judgement("some_kkt", Candidates(torch.zeros(1, 1, 2, 2)), reason="nothing to score against")


@pytest.mark.parametrize(
    ("judged", "outcome"),
    [
        ([scored(9, 0.004), CONTROL], LEAKS),
        ([scored(9, 0.004, premise=FAILS), CONTROL], LEAKS),  # what is found is found
        ([scored(2, 0.24), CONTROL], NO_LEAK),
        ([scored(2, 0.24, premise=FAILS), CONTROL], INCONCLUSIVE),
        ([scored(2, 0.24, premise=FAILS), IDLE, CONTROL], INCONCLUSIVE),
        ([scored(2, 0.24, premise=Premise("not measured", None)), CONTROL], INCONCLUSIVE),  # nobody knows whether it could have worked
        ([scored(2, 0.24, premise=FAILS), scored(1, 0.5, name="other", premise=None), CONTROL], NO_LEAK),  # one that rests on nothing
        ([IDLE, CONTROL], INCONCLUSIVE),
        ([BROKEN, IDLE, CONTROL], INCONCLUSIVE),
        ([BROKEN, scored(2, 0.24)], NO_LEAK),
    ],
)
def test_the_outcome(judged, outcome):
    found = verdict(judged, truth=True)
    assert found.outcome == outcome
    assert found.sentence().startswith(outcome.capitalize() + ": ")
    assert ("no attack finds" in found.sentence()) == (outcome == NO_LEAK)


def test_what_cannot_apply_says_why_in_the_verdict():
    assert "idle: not run: needs one output" in verdict([IDLE], truth=True).sentence()


@pytest.mark.parametrize(
    ("positive", "outcome"), [(None, NO_LEAK), ([scored(9, 0.004)], NO_LEAK), ([scored(2, 0.24)], INCONCLUSIVE), ([], INCONCLUSIVE)]
)
def test_nothing_found_counts_only_where_something_would_have_been(positive, outcome):
    found = verdict([scored(2, 0.24), CONTROL], truth=True, positive=positive)
    assert found.outcome == outcome
    assert ("positive control" in found.sentence()) == (positive is not None)


def test_what_was_found_on_the_positive_control_by_an_attack_whose_premise_fails_here_says_nothing():
    judged = [scored(2, 0.24, name="able"), scored(0, 1.0, name="unable", premise=FAILS)]
    assert verdict(judged, truth=True, positive=[scored(9, 0.004, name="unable")]).outcome == INCONCLUSIVE


def test_a_network_that_may_have_been_misread_is_not_called_safe():
    found = verdict([scored(2, 0.24)], truth=True, doubt="only 57% of the members are classified correctly")
    assert (found.outcome, "57%" in found.sentence()) == (INCONCLUSIVE, True)
    assert verdict([scored(9, 0.004)], truth=True, doubt="only 57%").outcome == LEAKS


def test_without_truth_it_is_inconclusive():
    found = verdict([BLIND], truth=False)
    assert found.outcome == INCONCLUSIVE
    assert not found.passes(None)


def test_a_finding_is_not_hidden_behind_a_larger_number_that_proves_less():
    found = verdict([scored(6, 0.06, name="wide"), scored(5, 0.02, name="sure")], truth=True)
    assert found.outcome == LEAKS
    assert "sure: 5 of 20" in found.sentence()
    assert not found.passes(0.27)  # the bar is for the larger one too


@pytest.mark.parametrize(
    ("judged", "alone", "bars"),
    [
        ([scored(9, 0.004)], True, {0.44: False, 0.46: True}),
        ([scored(2, 0.24)], True, {0.05: False, 0.15: True}),
        ([scored(0, 1.0, premise=FAILS)], False, {0.0: False, 1.0: False}),  # could not have found anything: no pass
        ([IDLE, CONTROL], False, {1.0: False}),
        ([BROKEN, CONTROL], False, {1.0: False}),
    ],
)
def test_what_passes(judged, alone, bars):
    found = verdict(judged, truth=True)
    assert found.passes(None) == alone
    assert {bar: found.passes(bar) for bar in bars} == bars


@pytest.mark.parametrize(("p", "outcome"), [(0.049, LEAKS), (0.051, NO_LEAK)])
def test_one_attack_has_five_per_cent(p, outcome):
    assert verdict([scored(9, p)], truth=True).outcome == outcome


def test_the_verdict_allows_for_the_number_of_attacks():
    """What one attack gives by chance once in fifty times, the best of six does once in nine."""
    others = [scored(1, 0.5, name=f"other{i}") for i in range(5)]
    assert verdict([scored(8, 0.02, name="near")], truth=True).outcome == LEAKS
    found = verdict([scored(8, 0.02, name="near"), *others], truth=True)
    assert found.outcome == NO_LEAK
    assert "of the best of 6 attacks" in found.sentence()
    unable = [replace(one, premise=FAILS) for one in others]
    assert verdict([scored(8, 0.02, name="near"), *unable], truth=True).outcome == LEAKS, "what cannot work is no further chance"
    assert verdict([scored(18, 0.001, name="far"), *others], truth=True).outcome == LEAKS


def test_the_positive_control_has_the_same_allowance():
    """Six attacks that find nothing anywhere would else be said to work once in four audits."""
    able = [scored(2, 0.3, name=f"able{i}") for i in range(6)]
    positive = [scored(6, 0.03, name="able0")]
    assert verdict(able, truth=True, positive=positive).outcome == INCONCLUSIVE
    assert verdict(able[:1], truth=True, positive=positive).outcome == NO_LEAK
