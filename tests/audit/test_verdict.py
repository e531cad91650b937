"""The verdict of an audit: a word that says no more than was tested, and an exit code that goes with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.api import Candidates
from bench.audit.scoring import Judgement
from bench.audit.verdict import FOUND, INCONCLUSIVE, NOT_FOUND, verdict


def scored(members: int, low: float, *, name: str = "some_kkt", needs_kkt: bool = True, **more: Any) -> Judgement:
    """A judgement over 20 members and 20 controls."""
    row = {"n_members": 20, "n_controls": 20, "recall_members": members / 20, "recall_controls": 0.0}
    row |= {"excess_recall": members / 20, "excess_recall_lo": low, "excess_recall_hi": 1.0}
    return Judgement(name, Candidates(torch.zeros(1, 1, 2, 2)), row, needs_kkt=needs_kkt, **more)


CONTROL = scored(0, 0.0, name="mean_image", needs_kkt=False, role="control")
IDLE = Judgement("idle", None, reason="not run: needs one output")
BROKEN = Judgement("broken", None, reason="failed: of course", failed=True)
BLIND = Judgement("some_kkt", Candidates(torch.zeros(1, 1, 2, 2)), reason="nothing to score against")


@pytest.mark.parametrize(
    ("judged", "residual", "outcome"),
    [
        ([scored(9, 0.25), CONTROL], 0.4, FOUND),
        ([scored(9, 0.25), CONTROL], 1.0, FOUND),  # what is found is found
        ([scored(2, -0.1), CONTROL], 0.4, NOT_FOUND),
        ([scored(2, -0.1), CONTROL], 0.979, NOT_FOUND),
        ([scored(2, -0.1), CONTROL], 0.98, INCONCLUSIVE),
        ([scored(2, -0.1), IDLE, CONTROL], 1.0, INCONCLUSIVE),
        ([scored(2, -0.1), scored(1, -0.1, name="other", needs_kkt=False), CONTROL], 1.0, NOT_FOUND),  # one that needs no KKT point
        ([IDLE, CONTROL], 0.4, INCONCLUSIVE),
        ([BROKEN, IDLE, CONTROL], 0.4, INCONCLUSIVE),
        ([BROKEN, scored(2, -0.1)], 0.4, NOT_FOUND),
    ],
)
def test_the_outcome(judged, residual, outcome):
    found = verdict(judged, residual, truth=True)
    assert found.outcome == outcome
    assert found.sentence().startswith(outcome.capitalize() + ": ")
    assert ("no attack finds" in found.sentence()) == (outcome == NOT_FOUND)


def test_without_truth_it_is_inconclusive():
    found = verdict([BLIND], None, truth=False)
    assert found.outcome == INCONCLUSIVE
    assert not found.passes(None)


def test_a_finding_is_not_hidden_behind_a_larger_number_that_proves_less():
    found = verdict([scored(6, -0.05, name="wide"), scored(5, 0.1, name="sure")], 0.4, truth=True)
    assert found.outcome == FOUND
    assert "sure: 5 of 20" in found.sentence()
    assert not found.passes(0.27)  # the bar is for the larger one too


@pytest.mark.parametrize(
    ("judged", "residual", "alone", "bars"),
    [
        ([scored(9, 0.25)], 0.4, True, {0.44: False, 0.46: True}),
        ([scored(2, -0.1)], 0.4, True, {0.05: False, 0.15: True}),
        ([scored(0, -0.1)], 1.0, False, {0.0: False, 1.0: False}),  # could not have found anything: no pass
        ([IDLE, CONTROL], 0.4, False, {1.0: False}),
        ([BROKEN, CONTROL], 0.4, False, {1.0: False}),
    ],
)
def test_what_passes(judged, residual, alone, bars):
    found = verdict(judged, residual, truth=True)
    assert found.passes(None) == alone
    assert {bar: found.passes(bar) for bar in bars} == bars
