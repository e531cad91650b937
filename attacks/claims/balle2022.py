"""Claims of Balle, Cherubin and Hayes 2022 (arXiv 2201.04845)."""

from __future__ import annotations

from bench.api import Claim

FAMILY = "Balle et al. 2022"
PAPER = "Balle et al., IEEE S&P 2022 (arXiv 2201.04845)"
GRIDS = ("mnemonist2023", "activations", "mnemonist_cifar10")
# What counts as no effect worth the name: round shares of what there is to gain, not chosen by the effects. Fixed when seeds 3 to 5 had
# been seen (of grid `activations` 0 to 4), before any further seed was run.
OF_ERROR = 0.002  # mean squared error: a tenth of the 0.02 or so that the attack leaves on MNIST and tiles
OF_SHARE = 0.05  # of the secret images: one in twenty

# The control `random_mask` is this attack with parameters left out by chance: a control of guidance (Mnemonist), not of the attack itself.
LOOKED_UP = {"attack": "nearest_shadow"}

CLAIMS = (
    Claim(
        name="informed_works",
        text="Who knows all training images but one rebuilds that one with a lower error than the nearest public image or one looked up.",
        source=f"{PAPER}, abstract; the nearest image as its baseline",
        family=FAMILY,
        grids=GRIDS,
        test="works",
        margin=OF_ERROR,
        expected="below",
        column="mse_mean",
        null="pool_mse_mean",
        b=LOOKED_UP,
    ),
    Claim(
        name="informed_passes_more",
        text="More of its answers pass SSIM 0.4 than nearest public images do, or images looked up.",
        source="ours: the threshold of Haim et al. 2022 in the setting of Balle et al. 2022",
        family=FAMILY,
        grids=GRIDS,
        test="works",
        margin=OF_SHARE,
        column="recall_members",
        null="pool_recall",
        b=LOOKED_UP,
    ),
    Claim(
        name="informed_works_for_most",
        text="The informed adversary comes nearer than the nearest public image for more than half of the secret images.",
        source=f"ours: the share behind the mean of {PAPER}",
        family=FAMILY,
        grids=GRIDS,
        test="level",
        margin=OF_SHARE,
        column="beats_pool",
        level=0.5,
    ),
)
