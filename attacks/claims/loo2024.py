"""Claims of Loo et al. 2024 (arXiv 2302.01428), and what they say of networks that start as networks usually do."""

from __future__ import annotations

from bench.api import Claim

FAMILY = "Loo et al. 2024"
PAPER = "Loo et al., ICLR 2024 (arXiv 2302.01428)"
ORDINARY = {"init_scale": None, "weight_decay": 0}  # PyTorch's initialisation, no decay: the final weights alone say little there
FINAL_ALONE = ("haim_kkt", "multiclass_kkt", "regression_kkt")
GRIDS = ("default_init", "weight_decay")

CLAIMS = (
    Claim(
        name="change_gives_images_away",
        text="From networks of an ordinary start, training images come back, beyond any control, to whoever has the initial weights too.",
        source=f"{PAPER}, abstract: the training set is rebuilt from the change of the weights; the controls are ours",
        family=FAMILY,
        grids=GRIDS,
        test="works",
        where={"attack": "ntk_kkt", **ORDINARY},
    ),
    Claim(
        name="initial_weights_help",
        text="From networks of an ordinary start, more comes back from the change of the weights than from the final weights alone.",
        source=f"ours, after {PAPER}",
        family=FAMILY,
        grids=GRIDS,
        test="beats",
        where=ORDINARY,
        a={"attack": "ntk_kkt"},
        b={"attack": FINAL_ALONE},
    ),
)
