"""What the attack answers with: one image a network. How answers are checked and pooled; they are kept as those of `reconstruction` are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from bench.api import Candidates
from bench.errors import AttackFault, BenchError
from bench.tracks.informed.release import Release
from bench.tracks.reconstruction import answer as reconstruction


def check_answer(answer: object, release: Release) -> Candidates:
    """The answer as float32 images without a graph, one a network, or else what is wrong with it.

    Raises:
        AttackFault: no tensor of floating point, the wrong shape, NaN or infinity, or another number of images than of networks.
    """
    candidates = reconstruction.check_answer(answer, dataclasses.replace(release, n_train=max(release.n_train, networks(release))))
    if len(candidates.images) != networks(release):
        raise AttackFault(
            "the attack returned the wrong number of images",
            expected=f"m = {networks(release)}, one for each network, in their order",
            got=f"m = {len(candidates.images)}",
        )
    return candidates


def networks(release: Release) -> int:
    """T, the number of networks of a release of this track."""
    return len(next(iter(release.weights.values())))


def pool(answers: Sequence[Candidates], told: bool = True) -> Candidates:
    """Of each network the answer of the most confident run, the first of equals, where every run has confidences; the loss is the least.

    Else the run with the lowest loss by the attack's own account; the first where they tell none.

    Raises:
        BenchError: no runs.
    """
    if not answers:
        raise BenchError("no runs to pool", expected="at least one run of an attack")
    if all(a.confidence is not None for a in answers):
        best, run = torch.stack([a.confidence for a in answers]).sort(dim=0, descending=True, stable=True)  # type: ignore[misc]
        images = torch.stack([a.images for a in answers])
        loss = min((a.loss for a in answers if a.loss is not None), default=None)
        return Candidates(images[run[0], torch.arange(len(run[0]), device=run.device)], best[0], loss)
    with_loss = [a for a in answers if a.loss is not None]
    return min(with_loss, key=lambda a: float(a.loss or 0.0)) if with_loss else answers[0]
