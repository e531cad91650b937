"""Claims of our own about the span of the first layer. Those whose rows were there when they were written down say so in their source."""

from __future__ import annotations

from bench.api import Claim

FAMILY = "Ours: the first layer's span"
AFTER = "written down when the rows were there"
GRIDS = ("quick", "real_data", "haim2022")

ON_SPAN = (
    Claim(
        name="derivatives_decide",
        text="What singles training images out of the first layer's span is how sparse their derivatives are, not the KKT equations.",
        source=f"ours: span_ica solves no equation, haim_kkt those of Haim et al. 2022; both know the span; {AFTER}",
        family=FAMILY,
        grids=GRIDS,
        test="beats",
        a={"attack": "span_ica"},
        b={"attack": "haim_kkt"},
    ),
)

ON_CHANGE = (
    Claim(
        name="change_beats_controls",
        text="The change of the first layer gives back more than any control finds, looking up other images of the kind among them.",
        source=f"ours, after Loo et al., ICLR 2024 (arXiv 2302.01428), who need initial weights too; {AFTER}",
        family=FAMILY,
        grids=GRIDS,
        test="works",
    ),
    Claim(
        name="default_start_is_no_shelter",
        text="Default initialisation does not protect training images if the initial weights are known: more come back than controls find.",
        source="ours, after Loo et al., ICLR 2024 (arXiv 2302.01428)",
        family=FAMILY,
        grids=("frontier_medium", "frontier_full"),
        test="works",
        where={"init_scale": None},
    ),
)
