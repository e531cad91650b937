"""Claims of our own about the span of the first layer. Those whose rows were there when they were written down say so in their source."""

from __future__ import annotations

from bench.api import Claim

AFTER = "written down when the rows were there"
GRIDS = ("quick", "real_data", "haim2022")
CONTROLS = (
    "mean_image",
    "class_mean_image",
    "heldout_images",
    "pool_mean",
    "first_layer_weights",
    "row_kmeans",
    "model_inversion",
    "warm_start",
)

ON_SPAN = (
    Claim(
        name="derivatives_decide",
        text="What singles training images out of the first layer's span is how sparse their derivatives are, not the KKT equations.",
        source=f"ours: span_ica solves no equation, haim_kkt those of Haim et al. 2022; both know the span; {AFTER}",
        grids=GRIDS,
        test="beats",
        a={"attack": "span_ica"},
        b={"attack": "haim_kkt"},
    ),
)

ON_CHANGE = (
    Claim(
        name="change_beats_controls",
        text="What the change of the first layer gives back is more than looking up other images of the kind, or any other control, would.",
        source=f"ours, after Loo et al., ICLR 2024 (arXiv 2302.01428), who need initial weights too; {AFTER}",
        grids=GRIDS,
        test="beats",
        a={"attack": "span_ica_change"},
        b={"attack": CONTROLS},
    ),
    Claim(
        name="default_start_is_no_shelter",
        text="Default initialisation does not protect training images where the initial weights are known.",
        source="ours, after Loo et al., ICLR 2024 (arXiv 2302.01428)",
        grids=("frontier_medium", "frontier_full"),
        test="beats",
        where={"init_scale": None},
        a={"attack": "span_ica_change"},
        b={"attack": CONTROLS},
    ),
)
