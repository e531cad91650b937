"""Claims of Balle, Cherubin and Hayes 2022 (arXiv 2201.04845)."""

from __future__ import annotations

from bench.api import Claim

PAPER = "Balle et al., IEEE S&P 2022 (arXiv 2201.04845)"
GRIDS = ("mnemonist2023", "activations", "mnemonist_cifar10")

CLAIMS = (
    Claim(
        name="informed_works",
        text="Who knows all training images but one rebuilds that one better than the nearest public image would show it.",
        source=f"{PAPER}, abstract; the nearest image as its baseline",
        grids=GRIDS,
        test="works",
        column="pool_mse_mean",
        minus="mse_mean",
    ),
    Claim(
        name="informed_works_for_most",
        text="The informed adversary comes nearer than the nearest public image for more than half of the secret images.",
        source=f"ours: the share behind the mean of {PAPER}",
        grids=GRIDS,
        test="works",
        column="beats_pool",
        level=0.5,
    ),
)
