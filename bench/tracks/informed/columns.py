"""The columns of the track ``informed``: the null model, which is the nearest image of the public pool."""

from __future__ import annotations

from bench.schema import FLOAT, Column, share, single

SCORES = (
    Column(
        "pool_mse_mean",
        FLOAT,
        "null model of the track informed: MSE of the pool image nearest to each member, mean",
        "1",
        "[0, 1]",
        decimals=6,
    ),
    Column(
        "pool_ssim_mean", FLOAT, "the same by SSIM: that of the pool image most similar to each member, mean", "1", "[-1, 1]", decimals=6
    ),
    Column("pool_lpips_median", FLOAT, "LPIPS of the pool image nearest by MSE, median over members", "1", ">= 0", decimals=6),
    share("pool_recall", "members whose most similar pool image has SSIM above the threshold"),
    share("beats_pool", "members whose answer has a lower MSE than their nearest pool image", "higher"),
)
IMAGES = (
    single("pool_mse", "mean squared error of the nearest image of the public pool (track informed)", "1", "[0, 1]", "none", 5),
    single("pool_ssim", "SSIM of the most similar image of the public pool (track informed)", "1", "[-1, 1]", "none"),
)
