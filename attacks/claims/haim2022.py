"""Claims of Haim et al. 2022 (arXiv 2206.07758), and those made since about how far a low loss can be trusted."""

from __future__ import annotations

from bench.api import Claim

FAMILY = "Haim et al. 2022"
PAPER = "Haim et al., NeurIPS 2022 (arXiv 2206.07758)"
LATER = "Refael et al. 2025 (arXiv 2509.21296), abstract"

# What counts as no effect worth the name: round shares of what there is to gain, not chosen by the effects. Fixed when seeds 0 to 4 had
# been seen, before any further seed was run.
OF_RECALL = 0.05  # excess recall: one training image in twenty
A_DOUBLING = 0.025  # its slope: one in twenty for four times as much

CLAIMS = (
    Claim(
        name="binary_works",
        text="More training images of a two-class network come back from its weights by the KKT equations than by any control.",
        source=f"{PAPER}, abstract: rebuilt from the weights alone; the paper has no controls",
        family=FAMILY,
        grids=("quick", "real_data", "haim2022"),
        test="works",
        margin=OF_RECALL,
    ),
    Claim(
        name="margin_is_recovered",
        text="The training images that come back are those near the margin.",
        source=f"{PAPER}, results on which samples are reconstructed",
        family=FAMILY,
        grids=("haim2022",),
        test="margin",
        column="ssim",
        along="margin",
        expected="below",
    ),
    Claim(
        name="multipliers_tell_who",
        text="Training images with larger multipliers in the KKT conditions come back better.",
        source=f"ours: follows from the stationarity condition of {PAPER}, where an image with multiplier 0 leaves no trace",
        family=FAMILY,
        grids=("haim2022",),
        test="margin",
        column="ssim",
        along="multiplier",
    ),
    Claim(
        name="low_loss_is_no_recovery",
        text="A lower KKT loss does not imply that more was recovered: the conditions have other solutions than the training images.",
        source=f"{LATER}; the level of 0.9 is ours",
        family=FAMILY,
        grids=("haim2022",),
        test="concordance",
        where={"attack": ("haim_kkt", "multiclass_kkt", "regression_kkt")},
        level=0.9,
        expected="below",
    ),
    Claim(
        name="longer_training",
        text="Training for longer, nearer to a KKT point, helps or hurts the attack.",
        source=f"two-sided: it should help by the theory behind {PAPER}, and hurt by {LATER}",
        family=FAMILY,
        grids=("training_length",),
        test="trend",
        margin=A_DOUBLING,
        along="epochs",
        expected="either",
        words=("helps", "hurts"),
    ),
)
