"""What the attack `informed_inverse` says to the question of Mnemonist: do ReLU networks remember less, or are attacks on them weak?"""

from __future__ import annotations

from bench.api import Claim

FAMILY = "Ours: solving for the missing image"
SMOOTH = ("elu", "gelu", "silu", "softplus", "tanh", "sigmoid")
GRIDS = ("inverse", "inverse_mnist")
QUESTION = "ours: the question of Shahin Shamsabadi et al., UAI 2023 (PMLR 216), abstract"

CLAIMS = (
    Claim(
        name="relu_remembers_exactly",
        text="From networks with ReLU, too, the missing image comes back in an SSIM above 0.9 on average: they do not remember less.",
        source=QUESTION,
        family=FAMILY,
        grids=GRIDS,
        test="level",
        column="ssim_mean",
        level=0.9,
        where={"attack": "informed_inverse", "activation": "relu"},
    ),
    Claim(
        name="smooth_remember_exactly",
        text="From networks with a smooth activation the missing image comes back in an SSIM above 0.95 on average.",
        source=QUESTION,
        family=FAMILY,
        grids=GRIDS,
        test="level",
        column="ssim_mean",
        level=0.95,
        where={"attack": "informed_inverse", "activation": SMOOTH},
    ),
    Claim(
        name="inverse_beats_regression",
        text="On ReLU networks, solving for the image comes nearer to it than reading it off the weights by regression.",
        source=QUESTION,
        family=FAMILY,
        grids=GRIDS,
        test="difference",
        column="ssim_mean",
        where={"activation": "relu"},
        a={"attack": "informed_inverse"},
        b={"attack": "informed_adversary"},
    ),
)
