"""What the attack answers with: a score for each candidate. How scores are checked, kept and pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from bench.errors import AttackFault, BenchError
from bench.tracks.membership.release import Release


class Scores(NamedTuple):
    """One number a candidate, float64: the higher, the more likely a member. Only their order counts."""

    scores: Float[Tensor, " m"]
    loss: float | None = None  # attacks of this track tell none


def check_answer(answer: object, release: Release) -> Scores:
    """The answer as float64 numbers without a graph, or else what is wrong with it.

    Raises:
        AttackFault: no tensor of floating point, not one number a candidate, or NaN or infinity.
    """
    wanted = f"a float tensor of shape ({len(release.images)},), a score for each candidate"
    answer = answer.scores if isinstance(answer, Scores) else answer
    if not isinstance(answer, Tensor):
        raise AttackFault("the attack returned no tensor", expected=wanted, got=type(answer).__name__)
    if answer.layout != torch.strided or not answer.dtype.is_floating_point:
        raise AttackFault("the attack returned a tensor of the wrong kind", expected=wanted, got=f"{answer.dtype}, {answer.layout}")
    if tuple(answer.shape) != (len(release.images),):
        raise AttackFault("the attack returned the wrong number of scores", expected=wanted, got=f"shape {tuple(answer.shape)}")
    bad = int((~torch.isfinite(answer)).sum())
    if bad:
        raise AttackFault("the attack returned NaN or infinity", expected="finite numbers", got=f"{bad} of {len(answer)} scores")
    return Scores(answer.detach().to(torch.float64, copy=True))


def alike(a: Scores, b: Scores, tolerance: float) -> bool:
    """Whether two answers are the same to within a tolerance, relative to the largest score; 0: bit by bit."""
    if a.scores.shape != b.scores.shape:
        return False
    if tolerance == 0:
        return torch.equal(a.scores, b.scores)
    return float((a.scores - b.scores).abs().max()) <= tolerance * max(1.0, float(a.scores.abs().max()))


def rounded(answer: Scores) -> Scores:
    """As it is kept: on the CPU."""
    return answer._replace(scores=answer.scores.cpu())


def pack(answer: Scores) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An answer as tensors and plain facts, to be kept."""
    return {"scores": answer.scores.cpu().contiguous()}, {}


def unpack(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Scores:
    """The inverse of `pack`."""
    return Scores(tensors["scores"])


def pool(answers: Sequence[Scores], told: bool = True) -> Scores:
    """The mean over the runs of a sweep of each candidate's rank, equals sharing theirs: runs may score on different scales.

    A single run stays as it is.

    Raises:
        BenchError: no runs.
    """
    if not answers:
        raise BenchError("no runs to pool", expected="at least one run of an attack")
    return answers[0] if len(answers) == 1 else Scores(torch.stack([_ranks(answer.scores) for answer in answers]).mean(0))


def _ranks(scores: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
    """How many scores lie below each, equals counting half."""
    ascending = scores.sort().values
    return (torch.searchsorted(ascending, scores) + torch.searchsorted(ascending, scores, right=True)).double() / 2
