"""How the answers become rows.

Score protocol ``v1``, where pairing is fixed: image i is compared with answer i, and so is control i, another image of the same label
that no network saw. Beside both stands the null model: the image of the public pool that is nearest to the truth, chosen by looking at the
truth. An attack that does no better could have answered with a photograph from its pool.
"""

from __future__ import annotations

import numpy as np
import torch

from bench.api import Candidates, Row
from bench.errors import BenchError
from bench.metrics import lpips
from bench.metrics.measure import measure
from bench.tracks.informed.release import Secret
from bench.tracks.reconstruction.score import THRESHOLD, compare, image_rows
from bench.tracks.reconstruction.thumbnails import add_thumbnails


def score(
    candidates: Candidates, secret: Secret, *, bootstrap_seed: int, thumbnails: bool = True, gallery: int | None = None
) -> tuple[Row, list[Row]]:
    """Score columns of the cell's row, and one row an image for ``images.parquet`` (without ``cell_id``).

    Answers are clipped to [0, 1]; answer i is compared with member i and with control i. Hits are SSIM > 0.4, strictly.

    Raises:
        BenchError: not one answer a member.
    """
    images = candidates.images.detach().to(torch.float32).clamp(0, 1)
    if len(images) != len(secret.members):
        raise BenchError("nothing to score", expected=f"{len(secret.members)} answers, one a member", got=str(len(images)))
    members, controls = secret.members.to(images), secret.controls.to(images)
    sides = {
        side: {**measure(truth, images), "candidate": np.arange(len(truth))} for side, truth in (("member", members), ("control", controls))
    }
    row = compare(sides["member"], sides["control"], bootstrap_seed, {"": "ssim"})
    rows = image_rows("member", sides["member"], secret.member_labels) + image_rows("control", sides["control"], secret.control_labels)
    if secret.pool:
        mse, ssim = (secret.pool[name].double().numpy() for name in ("pool_mse", "pool_ssim"))
        row |= {"pool_mse_mean": float(mse.mean()), "pool_ssim_mean": float(ssim.mean())}
        row["pool_recall"] = float((ssim > THRESHOLD).mean())
        row["beats_pool"] = float((sides["member"]["mse"] < mse).mean())
        if "pool_lpips" in secret.pool:
            row["pool_lpips_median"] = float(secret.pool["pool_lpips"].double().median())
        for i, own in enumerate(rows[: len(members)]):
            own |= {"pool_mse": float(mse[i]), "pool_ssim": float(ssim[i])}
    row |= {
        "n_members": len(members),
        "n_controls": len(controls),
        "n_candidates": len(images),
        "n_submitted": len(images),
        "lpips_reason": "" if sides["member"]["lpips"] is not None else lpips.unavailable() or "LPIPS could not be computed",
    }
    if thumbnails:
        add_thumbnails(rows, members.cpu(), images, gallery)
    return row, rows
