"""How the answer becomes rows.

Score protocol ``v2``. Candidates come best first by the attacker's own ranking. The first ``n_submit`` are *submitted*; they alone make
the headline. A candidate counts for members or for controls, whichever has the image nearest to it (``sides``), and within its side it is
paired one-to-one. Members and controls go through the same lines of code. A share of members above the threshold means something only
beside the same share of controls: hence *excess recall*, which the members themselves bring to 1. Good guesses may reach it too; the
*excess SSIM*, which has no threshold, is 1 (within 1e-4, the rounding of kept answers) for the members themselves alone.

What follows the rule of the sides: the headline, its intervals, AUC and TPR, the medians and means of all metrics, precision, the
nearest-neighbour scores (``nn``), those that choose among all candidates by looking at the truth (``oracle``), those of each run of a
sweep, and the cross-check, where the next seed's members stand in for the controls. What does not: the papers' own scoring (``haim``),
which stays as they made it, ``start_recall``, which looks at no truth, and ranks among look-alikes (``ranks``), which offer every
candidate to every image.

Under ``v1`` each side was paired with all submitted candidates, and neither knew of the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench import seeds
from bench.api import Candidates, Row
from bench.errors import BenchError
from bench.metrics import intervals, lpips
from bench.metrics.measure import measure, statistics
from bench.metrics.ncc import haim2022
from bench.metrics.ssim import ssim_matrix, ssim_pairs
from bench.tracks.reconstruction.ranks import ranks
from bench.tracks.reconstruction.release import Secret
from bench.tracks.reconstruction.sides import allot, pair
from bench.tracks.reconstruction.thumbnails import add_thumbnails

THRESHOLD = 0.4  # SSIM above which a reconstruction counts as a hit (Haim et al. 2022; Buzaglo et al. 2023)
FALSE_POSITIVES = 0.01  # rate at which the true-positive rate is read


def score(
    candidates: Candidates,
    secret: Secret,
    *,
    bootstrap_seed: int,
    n_submit: int | None = None,
    thumbnails: bool = True,
    gallery: int | None = None,
    known: Float[Tensor, "n m"] | None = None,
) -> tuple[Row, list[Row]]:
    """Score columns of the cell's row, and one row an image for ``images.parquet`` (without ``cell_id``).

    Images are clipped to [0, 1]; a pairing that leaves an image without a partner makes a miss: null in the image's row, SSIM 0 in medians
    and means, the worst in the other medians. Hits are SSIM > 0.4, strictly.

    Args:
        candidates: pooled, best first, finite.
        secret: members and controls, as many of each; beside planted inputs there may be fewer unplanted ones.
        n_submit: how many candidates the attacker submits (the first ones); twice as many as there are members, which is what the
            papers' m = 2n gives, where it is None.
        bootstrap_seed: names the random stream of the intervals.
        thumbnails: whether the rows of a few members (best, median, worst) carry PNGs of truth and reconstruction.
        gallery: so many of the best members carry them too.
        known: SSIM of members, then controls, with every candidate, from one who has computed it; of a secret without ``other``.

    Raises:
        BenchError: no members, controls or candidates, or n_submit < 1.
    """
    n_submit = 2 * len(secret.members) if n_submit is None else n_submit
    if n_submit < 1 or not (len(candidates.images) and len(secret.members) and len(secret.controls)):
        raise BenchError(
            "nothing to score",
            expected="at least one candidate, member, control and submitted image",
            got=f"{len(candidates.images)}, {len(secret.members)}, {len(secret.controls)}, {n_submit}",
        )
    if len(secret.controls) > len(secret.members):  # they compete for the same submissions, and those left over would count as misses
        got = f"{len(secret.members)} members, {len(secret.controls)} controls"
        raise BenchError("more controls than members", expected="as many of each, or fewer controls", got=got, hint="draw as many")
    images = candidates.images.detach().to(torch.float32).clamp(0, 1)
    members, controls = secret.members.to(images), secret.controls.to(images)
    submitted = images[:n_submit]
    # The papers' networks see images less the mean of the training images (as they were before anything was planted); controls are centred
    # alike, for the attacker has no other mean.
    mean = members.mean(0) if secret.mean_image is None else secret.mean_image.to(images)
    if known is None:
        similarity, cross = _similarities(torch.cat([members, controls]), images, n_submit, secret.other)
    else:
        similarity, cross = known, known[:0]
    truths = {"members": members, "controls": controls}
    of_side = dict(zip(truths, similarity.split([len(members), len(controls)]), strict=True))
    mine = dict(zip(truths, allot(*of_side.values()), strict=True))
    partners = {side: pair(own[:, :n_submit], mine[side][:n_submit]) for side, own in of_side.items()}
    measured = _measured(truths, submitted, partners)
    sides = {
        side: measured[side] | _compare(truth, images, of_side[side], mine[side], partners[side], n_submit, mean)
        for side, truth in truths.items()
    }
    row = compare(sides["members"], sides["controls"], bootstrap_seed)
    row["excess_ssim"] = _likeness(sides["members"]["ssim"]) - _likeness(sides["controls"]["ssim"])
    for name, side in (("", "members"), ("_controls", "controls")):
        near = of_side[side][:, :n_submit].amax(0) > THRESHOLD
        row[f"precision{name}"] = float((near & mine[side][:n_submit]).double().mean())
    row |= _ranked(sides, truths, secret.lookalikes, submitted)
    row |= {
        "n_members": len(members),
        "n_controls": len(controls),
        "n_candidates": len(images),
        "n_submitted": len(submitted),
        "lpips_reason": "" if sides["members"]["lpips"] is not None else lpips.unavailable() or "LPIPS could not be computed",
    }
    row |= secret.findable
    if candidates.used is not None:
        row["queries_used"] = candidates.used
    if candidates.starts is not None:
        began = candidates.starts[:n_submit].to(images)
        row["start_recall"] = float((ssim_pairs(submitted, began.clamp(0, 1), "gaussian") > THRESHOLD).double().mean())
    if len(cross):
        theirs = allot(of_side["members"][:, :n_submit], cross)[1]
        row |= {"cross_recall": float((_picked(cross, pair(cross, theirs)) > THRESHOLD).mean()), "n_cross": len(cross)}
    told = secret.stationarity.get("member_margin")
    if secret.planted and told is not None:
        row["planted_owner"] = float((told[secret.planted["member"]] > 0).double().mean())
    if candidates.run is not None:
        row["sweep_runs"] = _each_run(of_side, mine, candidates.run.cpu(), n_submit)
    sides["members"] |= {"margin": told, "multiplier": secret.stationarity.get("multiplier")}
    sides["controls"] |= {"margin": secret.stationarity.get("control_margin")}
    for name in ("member", "control"):
        sides[f"{name}s"] |= {"planted": secret.planted.get(name), "span_share": secret.span.get(name)}
    rows = image_rows("member", sides["members"], secret.member_labels) + image_rows("control", sides["controls"], secret.control_labels)
    if thumbnails:
        add_thumbnails(rows, members.cpu(), submitted.cpu(), gallery)
    return row, rows


def _similarities(
    truth: Float[Tensor, "n c h w"], images: Float[Tensor, "m c h w"], n_submit: int, other: Tensor | None
) -> tuple[Float[Tensor, "n m"], Float[Tensor, "o s"]]:
    """SSIM of members and controls with every candidate, and of the next seed's members, if any, with those submitted: in one go, for what
    is prepared of a submission then serves both."""
    every = truth if other is None else torch.cat([truth, other.to(truth)])
    near = ssim_matrix(every, images[:n_submit]).cpu()
    similarity, cross = near[: len(truth)], near[len(truth) :]
    if len(images) > n_submit:
        similarity = torch.cat([similarity, ssim_matrix(truth, images[n_submit:]).cpu()], 1)
    return similarity, cross


def _ranked(
    sides: Mapping[str, dict[str, Any]], truths: Mapping[str, Float[Tensor, "n c h w"]], lookalikes: Tensor | None, submitted: Tensor
) -> Row:
    """The columns that come of ranks among look-alikes; each image's own rank goes to its side."""
    if lookalikes is None or not len(lookalikes):
        return {"n_lookalikes": 0}
    found = ranks(torch.cat(list(truths.values())), lookalikes.to(submitted), submitted).split([len(truth) for truth in truths.values()])
    row: Row = {"n_lookalikes": len(lookalikes)}
    for suffix, side, own in zip(("", "_controls"), truths, found, strict=True):
        sides[side]["rank"] = own.numpy()
        row |= {f"rank_median{suffix}": float(np.median(own.numpy())), f"rank_first{suffix}": float((own == 1).double().mean())}
    return row


def _each_run(
    of_side: Mapping[str, Float[Tensor, "n m"]], mine: Mapping[str, Bool[Tensor, " m"]], run: Int[Tensor, " m"], n_submit: int
) -> list[Row]:
    """How the runs of a sweep score alone: hits by the first ``n_submit`` candidates of each, members and controls, one-to-one."""
    rows = []
    for k in run.unique().tolist():
        own = (run == k).nonzero().flatten()[:n_submit]
        hits = {side: int((_picked(part[:, own], pair(part[:, own], mine[side][own])) > THRESHOLD).sum()) for side, part in of_side.items()}
        rows.append({"run": int(k), **hits, "submitted": len(own)})
    return rows


def _compare(
    truth: Float[Tensor, "n c h w"],
    candidates: Float[Tensor, "m c h w"],
    similarity: Float[Tensor, "n m"],
    mine: Bool[Tensor, " m"],
    partner: Int[Tensor, " n"],
    n_submit: int,
    mean: Float[Tensor, "c h w"],
) -> dict[str, Any]:
    """One side's numbers by SSIM and by the papers' score, a float64 array each, NaN where an image has no partner."""
    every = pair(similarity, mine) if candidates.shape[0] > n_submit else partner
    return {
        "ssim": _picked(similarity, partner),
        "nn_ssim": _nearest(similarity[:, :n_submit], mine[:n_submit]),
        "oracle_ssim": _picked(similarity, every),
        "haim_ssim": haim2022(truth, candidates - mean, mean).ssim.cpu().double().numpy(),
        "candidate": partner.numpy(),
    }


def _measured(
    truths: Mapping[str, Float[Tensor, "n c h w"]], submitted: Float[Tensor, "m c h w"], partners: Mapping[str, Int[Tensor, " n"]]
) -> dict[str, dict[str, Any]]:
    """Every registered metric but SSIM of each side's images and their partners: NaN where an image has none, None where a metric cannot be
    had. Both sides at once, for they share candidates, and many pairs cost less than twice half as many."""
    matched = {side: (partner >= 0).nonzero().flatten() for side, partner in partners.items()}
    device = submitted.device
    a = torch.cat([truth[matched[side].to(device)] for side, truth in truths.items()])
    b = torch.cat([submitted[partner[matched[side]].to(device)] for side, partner in partners.items()])
    cuts = np.cumsum([len(own) for own in matched.values()])[:-1]
    found: dict[str, dict[str, Any]] = {side: {} for side in truths}
    for name, values in measure(a, b, but={"ssim"}).items():
        parts = [None] * len(truths) if values is None else np.split(values, cuts)
        for (side, truth), own in zip(truths.items(), parts, strict=True):
            full = None if own is None else np.full(len(truth), np.nan)
            if full is not None:
                full[matched[side].numpy()] = own
            found[side][name] = full
    return found


def _nearest(similarity: Float[Tensor, "n m"], mine: Bool[Tensor, " m"]) -> np.ndarray:
    """The highest SSIM of each image among the candidates of its side, NaN where there are none."""
    own = similarity[:, mine]
    return (own.amax(1).double() if own.shape[1] else torch.full((len(own),), torch.nan, dtype=torch.float64)).numpy()


def _likeness(ssim: np.ndarray) -> float:
    """Mean over a side of the SSIM of its pairs: 0 of an image without a partner, or of less than 0."""
    return float(np.nan_to_num(ssim).clip(min=0).mean())


def _picked(similarity: Float[Tensor, "n m"], partner: Int[Tensor, " n"]) -> np.ndarray:
    """``similarity[i, partner[i]]``, NaN where there is no partner."""
    values = similarity.gather(1, partner.clamp_min(0)[:, None])[:, 0].double()
    return torch.where(partner >= 0, values, torch.nan).numpy()


SELECTIONS = {"": "ssim", "oracle_": "oracle_ssim", "nn_": "nn_ssim", "haim_": "haim_ssim"}  # prefix of the columns → per-image number


def compare(members: dict[str, Any], controls: dict[str, Any], bootstrap_seed: int, selections: Mapping[str, str] = SELECTIONS) -> Row:
    """The columns that compare the two sides."""
    row: Row = {}

    def rng(name: str) -> np.random.Generator:
        return seeds.numpy_generator("score", bootstrap_seed, name)

    for prefix, column in selections.items():
        hits, false_hits = members[column] > THRESHOLD, controls[column] > THRESHOLD  # NaN is no hit
        excess = intervals.bootstrap_difference(hits, false_hits, rng(f"{prefix}excess_recall"))
        row[f"{prefix}recall_members"], row[f"{prefix}recall_controls"] = float(hits.mean()), float(false_hits.mean())
        row[f"{prefix}excess_recall"] = excess.estimate
        row[f"{prefix}excess_recall_lo"], row[f"{prefix}excess_recall_hi"] = excess.low, excess.high
        if not prefix:
            for name, values in (("recall_members", hits), ("recall_controls", false_hits)):
                _, row[f"{name}_lo"], row[f"{name}_hi"] = intervals.wilson(int(values.sum()), len(values))
    positive, negative = (np.nan_to_num(side["ssim"], nan=-np.inf) for side in (members, controls))
    row["auc"], row["auc_lo"], row["auc_hi"] = intervals.bootstrap_auc(positive, negative, rng("auc"))
    row["tpr_at_1fpr"] = intervals.tpr_at_fpr(positive, negative, FALSE_POSITIVES)
    for suffix, side in (("", members), ("_controls", controls)):
        row |= statistics(side, suffix)
    return row


def image_rows(part: str, side: dict[str, Any], labels: Int[Tensor, " n"]) -> list[Row]:
    """One row an image; ``side`` holds an array a column, or None where a number cannot be had."""
    columns = [name for name in side if name != "candidate"]
    rows: list[Row] = []
    for i, label in enumerate(labels.tolist()):
        row: Row = {"split": part, "index": i, "label": int(label), "candidate": int(side["candidate"][i])}
        for name in columns:
            value = math.nan if side[name] is None else float(side[name][i])
            row[name] = None if math.isnan(value) else value
        rows.append(row | {"truth_png": None, "recon_png": None})
    return rows
