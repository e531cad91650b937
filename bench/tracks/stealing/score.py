"""How a stolen network becomes rows.

Score protocol ``v2``. *Transfer* is the share of planted inputs to which the thief's network gives the planted label. Part of that is
chance, and part is what any network would answer; so beside it stand the same share of ``CLEAN`` networks that never saw the owner, of the
owner's architecture and recipe, trained on right labels of public images; and the share of unplanted inputs, of the same kind and with
labels drawn alike, which nobody planted. The owner's claim is a test: the thief's hits against those of the clean networks. By protocol
``v1`` these were 20, so that no p-value was below 1/21; they are the first 20 of the 100.

Each input has a row of its own as well: whether its label came along, the clean networks' share, how far it is from the nearest image that
the oracle was asked about, and how steep the owner's network is there.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bench import seeds
from bench.api import Row
from bench.metrics import intervals
from bench.tracks.stealing.classes import agreement, classes
from bench.tracks.stealing.release import Network, Secret

FALSE_POSITIVES = 0.05  # of 100 clean networks five may be taken for a copy


def score(
    answer: Network, secret: Secret, *, bootstrap_seed: int, thumbnails: bool = True, gallery: int | None = None
) -> tuple[Row, list[Row]]:
    """Score columns of the cell's row, and a row for each planted (``member``) and unplanted (``control``) input.

    Args:
        secret: members are the planted inputs, member_labels what was planted; controls and control_labels likewise of the unplanted.
    """
    mark = secret.watermark
    given, given_controls, on_test = (classes(answer, images) for images in (secret.members, secret.controls, mark["test"]))
    hits = (given == secret.member_labels).double()
    control_hits = (given_controls == secret.control_labels).double()
    clean = (mark["clean_planted"] == secret.member_labels).double()  # networks × planted inputs
    clean_controls = (mark["clean_unplanted"] == secret.control_labels).double()

    def rng(name: str) -> np.random.Generator:
        return seeds.numpy_generator("score", bootstrap_seed, name)

    over_clean = intervals.bootstrap_mean((hits - clean.mean(0)).numpy(), rng("transfer_excess"))
    over_controls = intervals.bootstrap_difference(hits.numpy(), control_hits.numpy(), rng("transfer_excess_controls"))
    null = clean.mean(1).numpy()
    share = float(hits.mean())
    row: Row = {
        "planted_transfer": share,
        "planted_transfer_controls": float(control_hits.mean()),
        "planted_transfer_clean": float(clean.mean()),
        "planted_transfer_clean_controls": float(clean_controls.mean()),
        "transfer_excess": over_clean.estimate,
        "transfer_excess_lo": over_clean.low,
        "transfer_excess_hi": over_clean.high,
        "transfer_excess_controls": over_controls.estimate,
        "transfer_excess_controls_lo": over_controls.low,
        "transfer_excess_controls_hi": over_controls.high,
        "watermark_p": float((1 + (null >= share - 1e-9).sum()) / (1 + len(null))),
        "watermark_tpr": intervals.tpr_at_fpr([share], null, FALSE_POSITIVES),
        "n_clean": len(null),
        "planted_owner": agreement(mark["owner_planted"], secret.member_labels),
        "agreement": agreement(on_test, mark["owner_test"]),
        "thief_accuracy": agreement(on_test, mark["test_labels"]),
        "clean_accuracy": float(mark["clean_accuracy"].mean()),
        "queries_used": answer.used,
        "n_members": len(hits),
        "n_controls": len(control_hits),
    }
    planted = _input_rows("member", secret.members, secret.member_labels, hits, clean, mark["gradient_norm"], answer)
    unplanted = _input_rows(
        "control", secret.controls, secret.control_labels, control_hits, clean_controls, mark["gradient_norm_controls"], answer
    )
    return row, planted + unplanted


def _input_rows(
    part: str,
    inputs: Float[Tensor, "p c h w"],
    labels: Int[Tensor, " p"],
    hits: Float[Tensor, " p"],
    clean: Float[Tensor, "t p"],
    steepness: Float[Tensor, " p"],
    answer: Network,
) -> list[Row]:
    """A row an input, in the columns of the table of images."""
    far = [None] * len(inputs) if answer.asked is None else _nearest(inputs, answer.asked).tolist()
    columns = zip(labels.tolist(), hits.tolist(), clean.mean(0).tolist(), far, steepness.tolist(), strict=True)
    names = ("label", "transferred", "clean_rate", "query_distance", "gradient_norm")
    return [{"split": part, "index": i, **dict(zip(names, values, strict=True))} for i, values in enumerate(columns)]


def _nearest(inputs: Float[Tensor, "p c h w"], asked: UInt8[Tensor, "q c h w"]) -> Float[Tensor, " p"]:
    """Root mean squared pixel distance of each input to the nearest image that was asked about, in [0, 1]."""
    a, b = inputs.flatten(1).float(), asked.flatten(1).float() / 255
    # all pairs by products, which round; so the distance to the one that they find is taken again, from the pixels
    nearest = (b.square().sum(1) - 2 * a @ b.T).argmin(1)
    return (a - b[nearest]).square().mean(1).sqrt()
