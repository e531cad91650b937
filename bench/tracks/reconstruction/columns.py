"""The columns of the track ``reconstruction``: selection rules, precision, and what the weights hold of each image."""

from __future__ import annotations

from bench.schema import FLOAT, INT, SMALL, TEXT, TINY, Column, excess, share, single

QUERIES_USED = Column(
    "queries_used",
    INT,
    "answers that the attack took of a network behind an interface: labels, outputs, and gradients; null: it asked none",
    "answers",
    ">= 0",
)
GUARANTEES = (
    Column(
        "epsilon",
        FLOAT,
        "of a target trained privately: ε at delta, with the number of images and their mean taken for public; neighbours are training "
        "sets with and without an image; null: see epsilon_reason, or no private training",
        "1",
        ">= 0",
        decimals=6,
    ),
    Column("delta", FLOAT, "δ of epsilon: 1/n² of n training images", "1", "[0, 1]"),
    Column("accountant", TEXT, "Opacus's accountant that counted epsilon: prv, or rdp where the former cannot"),
    Column("epsilon_reason", TEXT, "why epsilon is null of a target trained privately; empty when it is not"),
    share(
        "tpr_bound",
        "the most members that any membership test finds of a target trained privately, on average, while it takes 1 % of other images "
        "for members",
    ),
)
SCORES = (
    Column(
        "excess_ssim",
        FLOAT,
        "mean SSIM of members with their partners, 0 where there is none or it is less, minus that of controls: 1, within 1e-4, for the "
        "members themselves alone; null: protocol v1",
        "1",
        "[-1, 1]",
        "higher",
        6,
    ),
    Column(
        "ceiling", FLOAT, "excess recall were the members themselves submitted; null: see exact_controls", "share", "[-1, 1]", "none", 6
    ),
    Column(
        "rank_median",
        FLOAT,
        "median over members of the rank among look-alikes: 1 + those that come as near to any submitted candidate, by NCC; chance: "
        "1 + n_lookalikes / 2; null: see n_lookalikes",
        "1",
        ">= 1",
        "lower",
        6,
    ),
    Column("rank_median_controls", FLOAT, "the same over controls", "1", ">= 1", decimals=6),
    share("rank_first", "members at rank 1; chance: 1 / (n_lookalikes + 1); null: see n_lookalikes", "higher"),
    share("rank_first_controls", "controls at rank 1"),
    Column(
        "n_lookalikes",
        INT,
        "images of the same data set that are neither members nor controls, and that no attack is handed; 0: there are none, so no ranks; "
        "null: scored before ranks were",
        "images",
        "[0, 1000]",
    ),
    share(
        "margin_auc",
        "membership by the margin test (attack margin_test of the track membership) on the network attacked: how often a member is nearer "
        "to the margin than a control; null: scored without the network",
    ),
    *excess("oracle_", "one-to-one over all candidates, selected by looking at the truth"),
    *excess("nn_", "each image with its nearest submitted candidate (many-to-one)"),
    *excess("haim_", "protocol haim2022 over all candidates: nearest by NCC at half resolution, min–max scaling, SSIM window 3"),
    share(
        "rero_prior",
        "of a target trained privately: the chance of an attack that sees nothing to name a member among the look-alikes of its class, "
        "1 / (1 + look-alikes of a class)",
    ),
    share(
        "rero_bound",
        "the most that rank_first can be on average, by any attack on a target trained privately: the reconstruction robustness of Hayes, "
        "Mahloujifar and Balle (2023) at rero_prior",
    ),
    *GUARANTEES,
    share("precision", "submitted candidates that count for members and whose best SSIM over these is above 0.4", "higher"),
    share("precision_controls", "submitted candidates that count for controls and whose best SSIM over these is above 0.4"),
    share("start_recall", "submitted candidates above the threshold with the image that they began as; null: the attack told no starts"),
    share("cross_recall", "members of the next seed above the threshold, one-to-one with the same submitted candidates"),
    Column("n_cross", INT, "members of the next seed scored, none of them a member, a control or a public image here", "images", ">= 1"),
    Column(
        "span_rank",
        INT,
        "directions of the first layer that stand out from what is left of its initial weights; null: see span_reason",
        "1",
        ">= 0",
    ),
    Column("span_reason", TEXT, "why span_rank is null; empty when it is not; null: not recorded"),
    Column(
        "shared_patterns",
        INT,
        "members at which the same units of the first layer are on as at another member; null: units are not on or off, or not recorded",
        "images",
        ">= 0",
    ),
    Column(
        "unit_patterns",
        INT,
        "different sets of members at which a unit of the first layer is on; null: units are not on or off, or not recorded",
        "1",
        ">= 0",
    ),
    share("pattern_oracle_members", "members above the threshold by the oracle that knows the activation patterns, which is no attack"),
    share("pattern_oracle_controls", "controls above the threshold by the same"),
    share("exact_controls", "of protocol v1: controls above the threshold were the members themselves submitted; 1 less it is the ceiling"),
    QUERIES_USED,
)
IMAGES = (
    Column("rank", SMALL, "rank among look-alikes, by NCC with the submitted candidate nearest to each; null: no look-alikes", "1", ">= 1"),
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
    single(
        "span_share",
        "share of the centred image's energy in the directions counted by span_rank: what of it the first layer can hold",
        "share",
        "[0, 1]",
        "none",
    ),
    Column(
        "planted",
        TINY,
        "1: planted by a defence (of a control: unplanted, but of that kind); 0: ordinary; null: no such defence",
        "",
        "0, 1",
    ),
)
