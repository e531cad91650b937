"""The columns of the track ``reconstruction``: selection rules, precision, and what the weights hold of each image."""

from __future__ import annotations

from bench.schema import TINY, Column, excess, share, single

SCORES = (
    *excess("oracle_", "one-to-one over all candidates, selected by looking at the truth"),
    *excess("nn_", "each image with its nearest submitted candidate (many-to-one)"),
    *excess("haim_", "protocol haim2022 over all candidates: nearest by NCC at half resolution, min–max scaling, SSIM window 3"),
    share("precision", "submitted candidates whose best SSIM over members is above 0.4", "higher"),
    share("precision_controls", "submitted candidates whose best SSIM over controls is above 0.4"),
)
IMAGES = (
    single("nn_ssim", "SSIM (Gaussian window) with the nearest submitted candidate, many-to-one", "1", "[-1, 1]", "higher"),
    single("oracle_ssim", "SSIM (Gaussian window) one-to-one over all candidates", "1", "[-1, 1]", "higher"),
    single("haim_ssim", "SSIM (window 3) under protocol haim2022", "1", "[-1, 1]", "higher"),
    single(
        "margin",
        "the constraint gᵢ of the released network at the image: y·Φ(x), or Φ_y(x) minus the best other class",
        "1",
        "",
        "none",
        7,  # differences near the margin are small
    ),
    single(
        "multiplier",
        "λᵢ of the member that best explains the weights (the largest by size, of several); null: a control",
        "1",
        "",
        "none",
        7,  # they span orders of magnitude
    ),
    Column(
        "planted",
        TINY,
        "1: planted by a defence (of a control: unplanted, but of that kind); 0: ordinary; null: no such defence",
        "",
        "0, 1",
    ),
)
