"""The columns of the track ``membership``: how well the scores tell members from controls, without a threshold and at a strict one."""

from __future__ import annotations

from bench.schema import FLOAT, SINGLE, Column, share
from bench.tracks.reconstruction.columns import GUARANTEES

SCORES = (
    share("membership_auc", "track membership: how often a member scores above a control, ties counting half", "higher"),
    Column("membership_auc_lo", FLOAT, "lower end of its 95 % bootstrap interval over images", "share", "[0, 1]", decimals=6),
    Column("membership_auc_hi", FLOAT, "upper end of its 95 % bootstrap interval over images", "share", "[0, 1]", decimals=6),
    share(
        "membership_tpr",
        "track membership: members above the threshold that at most 1 % of the controls are above; of fewer than 100 controls, none",
        "higher",
    ),
    *GUARANTEES,
)
IMAGES = (
    # not rounded: losses of a trained network differ in late digits
    Column("membership_score", SINGLE, "track membership: the attack's score of the image, higher: rather a member", "", "", "none"),
)
