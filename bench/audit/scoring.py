"""Reconstructions against members and controls: the track's protocol and the papers' own, each side through the same lines."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench import seeds
from bench.api import Candidates, Row, Secret
from bench.artefacts.candidates import read_candidates
from bench.artefacts.truth import Truth
from bench.audit import exchange
from bench.audit.premises import Premise
from bench.errors import BenchError
from bench.metrics import intervals
from bench.metrics.ncc import haim2022
from bench.metrics.ssim import ssim_matrix
from bench.report.kit.text import number, signed
from bench.tracks import reconstruction
from bench.tracks.reconstruction.answer import pool
from bench.tracks.reconstruction.score import THRESHOLD, score

LEVEL = 0.05  # how often something may be said to leak that does not


@dataclass(frozen=True)
class Judgement:
    """What one set of candidates came to. Without ``row`` there was nothing to score against, or it failed for ``reason``."""

    name: str
    candidates: Candidates | None
    row: Row | None = None
    images: tuple[Row, ...] = ()
    role: str = "attack"
    reason: str = ""
    cell_id: str = ""
    seconds: float = 0.0
    failed: bool = False
    premise: Premise | None = None  # what it rests on: where that does not hold it finds nothing, whatever the network holds
    p_value: float | None = None  # of its excess recall, by chance alone (`exchange`); None: it was not scored

    def hits(self, prefix: str = "") -> tuple[int, int]:
        """Members and controls above the threshold, under one selection rule."""
        assert self.row is not None
        counts = self.row["n_members"], self.row["n_controls"]
        return tuple(round(self.row[f"{prefix}recall_{side}"] * n) for side, n in zip(("members", "controls"), counts, strict=True))  # type: ignore[return-value]

    def sentence(self) -> str:
        """The headline in words."""
        assert self.row is not None
        (members, controls), row = self.hits(), self.row
        return (
            f"{self.name}: {members} of {row['n_members']} members : {controls} of {row['n_controls']} controls over SSIM "
            f"{THRESHOLD:g}, excess recall {signed(row['excess_recall'])}, p {chance(self.p_value)}"
        )

    def surely(self, attacks: int = 1) -> bool:
        """Whether more members than controls came back than chance gives, at a level that allows for so many attacks that were tried
        (Bonferroni's share of the 5 % each)."""
        return self.p_value is not None and self.p_value * attacks <= LEVEL


def chance(p_value: float | None) -> str:
    """A p-value as it is printed."""
    return number(p_value, 3)


def excess(row: Row, prefix: str = "") -> str:
    """Excess recall with its interval."""
    ends = (row[f"{prefix}excess_recall"], row[f"{prefix}excess_recall_lo"], row[f"{prefix}excess_recall_hi"])
    return "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(value + 0.0 for value in ends))


def judge(
    name: str, candidates: Candidates, secret: Secret, *, role: str = "attack", submit: int | None = None, seconds: float = 0.0
) -> Judgement:
    """Scores candidates, best first. Values outside [0, 1] are clipped, but for the papers' protocol, which scales each image by its own
    extremes.

    Args:
        submit: how many candidates count as the attacker's answer; None: twice as many as members.

    Raises:
        BenchError: nothing to score.
    """
    cell = _identity(candidates.images, secret)
    # what is known of a target beyond members and controls does not come with a checkpoint
    known = reconstruction.Secret(secret.members, secret.member_labels, secret.controls, secret.control_labels)
    similarity = _similarity(candidates, secret)
    row, images = score(candidates, known, bootstrap_seed=seeds.seed("bootstrap", cell), n_submit=submit, known=similarity)
    if bool(((candidates.images < 0) | (candidates.images > 1)).any()):
        _papers_unclipped(row, images, candidates.images, secret, cell)
    chance_ = exchange.p_value(
        similarity[:, : row["n_submitted"]],
        torch.arange(len(secret.members) + len(secret.controls)) < len(secret.members),
        torch.cat([secret.member_labels, secret.control_labels]).cpu(),
        seeds.numpy_generator("exchange", cell),
    )
    images_ = tuple({**image, "cell_id": cell} for image in images)
    return Judgement(name, candidates, row, images_, role, "", cell, seconds, p_value=chance_)


def _similarity(candidates: Candidates, secret: Secret) -> Tensor:
    """SSIM of members, then controls, with every candidate, as the score protocol has it."""
    answer = candidates.images.detach().to(torch.float32).clamp(0, 1)
    return ssim_matrix(torch.cat([secret.members, secret.controls]).to(answer), answer).cpu()


def judge_files(
    paths: Sequence[str], truth: Truth, *, add_mean: str = "auto", rescale: bool = False, submit: int | None = None
) -> tuple[Judgement, list[str]]:
    """Scores the reconstructions of some files as one answer, with notes on what was done to them.

    Raises:
        BenchError: a file cannot be read or does not fit, or nothing is to be scored.
    """
    if submit is not None and submit < 1:
        raise BenchError(f"--submit {submit}: not understood", expected="a number of images, 1 or more", got=str(submit))
    answers, notes = read_candidates(paths, truth.secret.members, add_mean=add_mean, rescale=rescale)
    pooled = pool(answers)
    count = 2 * len(truth.secret.members) if submit is None else submit
    if len(pooled.images) > count:
        order = "by the confidences in the file" if pooled.confidence is not None else "in the files' order, for they rank nothing"
        notes.append(f"{len(pooled.images)} candidates: the first {count} are submitted, {order}; the oracle looks at all")
    name = paths[0].rpartition("/")[2] + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
    if len(paths) == 1:
        pooled = pooled._replace(run=None)
    return judge(name, pooled, truth.secret, submit=submit), notes


def _identity(images: Tensor, secret: Secret) -> str:
    """16 hex digits over what is scored and against what: the key of the image rows, and of the intervals' random numbers."""
    digest = hashlib.sha256()
    for tensor in (images, secret.members, secret.controls):
        digest.update(f"{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _papers_unclipped(row: Row, images: list[Row], candidates: Tensor, secret: Secret, cell: str) -> None:
    """The columns of protocol haim2022 from candidates as they were given; rewrites row and image rows."""
    mean = secret.members.mean(0)
    hits: dict[str, Any] = {}
    for side, truth in (("member", secret.members), ("control", secret.controls)):
        values = haim2022(truth, candidates.float() - mean, mean).ssim
        hits[side] = (values > THRESHOLD).numpy()
        for image in images:
            if image["split"] == side:
                value = float(values[image["index"]])
                image["haim_ssim"] = None if math.isnan(value) else value
    found = intervals.bootstrap_difference(hits["member"], hits["control"], seeds.numpy_generator("score", cell, "haim_excess_recall"))
    row |= {"haim_recall_members": float(hits["member"].mean()), "haim_recall_controls": float(hits["control"].mean())}
    row |= {"haim_excess_recall": found.estimate, "haim_excess_recall_lo": found.low, "haim_excess_recall_hi": found.high}


def finite(candidates: Candidates) -> bool:
    """Whether every pixel is a number."""
    return bool(torch.isfinite(candidates.images).all())
