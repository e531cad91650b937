"""Claims of Haim et al. 2022 (arXiv 2206.07758), and those made since about how far a low loss can be trusted."""

from __future__ import annotations

from bench.api import Claim

PAPER = "Haim et al., NeurIPS 2022 (arXiv 2206.07758)"
LATER = "Refael et al. 2025 (arXiv 2509.21296), abstract"
NULL = ("heldout_images", "mean_image")

CLAIMS = (
    Claim(
        name="binary_works",
        text="Training images of a two-class network can be rebuilt from its weights alone.",
        source=f"{PAPER}, abstract",
        grids=("quick", "real_data", "haim2022"),
        test="works",
    ),
    Claim(
        name="binary_beats_controls",
        text="What is rebuilt from a two-class network is more than looking up other images of the kind, or their mean, would give.",
        source="ours: the paper has no controls",
        grids=("quick", "real_data", "haim2022"),
        test="beats",
        a={"attack": "haim_kkt"},
        b={"attack": NULL},
    ),
    Claim(
        name="margin_is_recovered",
        text="The training images that come back are those near the margin.",
        source=f"{PAPER}, results on which samples are reconstructed",
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
        grids=("haim2022",),
        test="margin",
        column="ssim",
        along="multiplier",
    ),
    Claim(
        name="low_loss_is_no_recovery",
        text="A lower KKT loss does not imply that more was recovered: the conditions have other solutions than the training images.",
        source=f"{LATER}; the level of 0.9 is ours",
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
        grids=("training_length",),
        test="trend",
        along="epochs",
        expected="either",
        words=("helps", "hurts"),
    ),
)
