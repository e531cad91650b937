"""How scores become rows.

Score protocol ``v1``. Only the order of the scores counts. The AUC is the chance that a member scores above a control (0.5 where the
network tells nothing); beside it stands the share of members found where at most 1 % of the controls are taken for members (Carlini et al.
2022). Members and controls are drawn alike, so an attack that knows nothing of the network shows what the images alone give.
"""

from __future__ import annotations

import torch

from bench import seeds
from bench.api import Row, Secret
from bench.errors import BenchError
from bench.metrics.intervals import bootstrap_auc, tpr_at_fpr
from bench.tracks.membership.answer import Scores
from bench.tracks.membership.candidates import order
from bench.tracks.reconstruction.columns import GUARANTEES
from bench.tracks.reconstruction.release import Secret as Trained

FALSE_POSITIVES = 0.01  # rate at which the true-positive rate is read


def score(
    answer: Scores, secret: Secret, *, bootstrap_seed: int, thumbnails: bool = True, gallery: int | None = None
) -> tuple[Row, list[Row]]:
    """Score columns of the cell's row, and a row for each member and control. There is nothing to draw.

    Raises:
        BenchError: not one score a candidate, or no members or controls.
    """
    chosen = order(secret)
    if answer.scores.shape != chosen.shape:
        raise BenchError(
            "scores do not fit the candidates", expected=f"{len(chosen)}, one a candidate", got=str(tuple(answer.scores.shape))
        )
    each = torch.empty_like(answer.scores)
    each[chosen] = answer.scores
    members, controls = each.split([len(secret.members), len(secret.controls)])
    rng = seeds.numpy_generator("score", bootstrap_seed, "membership_auc")
    auc = bootstrap_auc(members.numpy(), controls.numpy(), rng)
    row: Row = {
        "membership_auc": auc.estimate,
        "membership_auc_lo": auc.low,
        "membership_auc_hi": auc.high,
        "membership_tpr": tpr_at_fpr(members.numpy(), controls.numpy(), FALSE_POSITIVES),
        "n_members": len(members),
        "n_controls": len(controls),
    }
    told = secret.findable if isinstance(secret, Trained) else {}
    row |= {column.name: told[column.name] for column in GUARANTEES if column.name in told}
    sides = (("member", members, secret.member_labels), ("control", controls, secret.control_labels))
    rows: list[Row] = [
        {"split": side, "index": i, "label": label, "membership_score": value}
        for side, scores, labels in sides
        for i, (label, value) in enumerate(zip(labels.tolist(), scores.tolist(), strict=True))
    ]
    return row, rows
