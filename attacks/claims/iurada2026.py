"""Claims of Iurada et al. 2026 (arXiv 2509.22214): how many parameters it takes to hold the training images."""

from __future__ import annotations

from bench.api import Claim

FAMILY = "Iurada et al. 2026"
PAPER = "Iurada et al., ICLR 2026 (arXiv 2509.22214)"

CLAIMS = (
    Claim(
        name="law_of_reconstruction",
        text="The last layer gives training images away once it has many more parameters than the images have numbers, and not before.",
        source=f"{PAPER}, theorems 1 and 2: recovery for p ≫ n·d; here n·r, for the search is in r directions",
        family=FAMILY,
        grids=("law",),
        test="difference",
        a={"axis:parameters": "64 n·r"},
        b={"axis:parameters": "n·r / 4"},
        tied=("hidden",),
    ),
    Claim(
        name="law_jumps",
        text="The jump is where the parameters pass the numbers in the images: from a quarter of them to four times as many.",
        source=f"{PAPER}, figures 1 and 2",
        family=FAMILY,
        grids=("law",),
        test="difference",
        a={"axis:parameters": "4 n·r"},
        b={"axis:parameters": "n·r / 4"},
        tied=("hidden",),
    ),
)
