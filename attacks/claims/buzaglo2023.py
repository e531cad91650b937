"""Claims of Buzaglo et al. 2023: the paper (arXiv 2307.01827) and the workshop paper before it (arXiv 2305.03350)."""

from __future__ import annotations

from typing import Any

from bench.api import Claim

FAMILY = "Buzaglo et al. 2023"
PAPER = "Buzaglo et al., NeurIPS 2023 (arXiv 2307.01827)"
BEFORE = "Buzaglo et al. 2023 (arXiv 2305.03350)"
# What counts as no effect worth the name: round shares of what there is to gain, not chosen by the effects. Fixed when seeds 0 to 4 had
# been seen (of `architectures` 0 to 7, of `width` at scale medium 0 to 2), before any further seed was run.
OF_RECALL = 0.05  # excess recall: one training image in twenty
A_DOUBLING = 0.025  # its slope: one in twenty for four times as much
OF_LIKENESS = 0.05  # SSIM: an eighth of the threshold of 0.4 at which an image counts as rebuilt

KKT = ("haim_kkt", "multiclass_kkt", "regression_kkt")

# Ten classes against two at an equal number of images: labels of the axis `task`, and what differs with them.
MANY = {"axis:task": "10 classes, cross-entropy", "attack": "multiclass_kkt"}
TWO = {"axis:task": "2 classes, logistic", "attack": "haim_kkt"}
BY_TASK = ("classes", "n_per_class", "loss")

# No less than the paper's own coefficient of 7.5e-4, and none at all; from PyTorch's initialisation, which hides the images where nothing
# decays it, and from one so small that it hides nothing (Haim et al. 2022).
DECAY = "> 0.0007"
DECAYED, UNDECAYED = {"weight_decay": DECAY}, {"weight_decay": 0}
DECAYS = ("weight_decay", "buzaglo2023")
QUALITY: dict[str, Any] = {"column": "ssim_mean", "minus": "ssim_mean_controls", "margin": OF_LIKENESS}
ORDINARY, SMALL = {"init_scale": None}, {"init_scale": "< 0.01"}

OF_CLASSES = (
    Claim(
        name="multiclass_works",
        text="More training images of networks with many classes come back by the KKT equations than by any control.",
        source=f"{BEFORE}, abstract; {PAPER}, abstract",
        family=FAMILY,
        grids=("multiclass", "buzaglo2023"),
        test="works",
        margin=OF_RECALL,
    ),
    Claim(
        name="more_classes_give_more",
        text="At an equal number of training images, the more classes, the more of them come back.",
        source=f"ours, after {BEFORE}, abstract: of higher quality than with two classes",
        family=FAMILY,
        grids=("multiclass",),
        test="trend",
        margin=A_DOUBLING,
        along="classes",
        tied=("n_per_class",),
    ),
    Claim(
        name="multiclass_over_binary",
        text="At an equal number of training images, more come back from ten classes than from two.",
        source=f"{PAPER}, multiclass experiments",
        family=FAMILY,
        grids=("buzaglo2023",),
        test="difference",
        margin=OF_RECALL,
        a=MANY,
        b=TWO,
        tied=BY_TASK,
    ),
    Claim(
        name="multiclass_quality",
        text="At an equal number of training images, they come back in higher quality from ten classes than from two.",
        source=f"{BEFORE}, abstract",
        family=FAMILY,
        grids=("buzaglo2023",),
        test="difference",
        a=MANY,
        b=TWO,
        tied=BY_TASK,
        **QUALITY,
    ),
)

OF_WEIGHT_DECAY = (
    Claim(
        name="weight_decay_quantity",
        text="From PyTorch's ordinary start, weight decay makes more training images come back than no decay from that start.",
        source=f"{PAPER}, abstract; {BEFORE}, abstract",
        family=FAMILY,
        grids=DECAYS,
        test="difference",
        margin=OF_RECALL,
        where={"attack": KKT, **ORDINARY},
        a=DECAYED,
        b=UNDECAYED,
    ),
    Claim(
        name="weight_decay_quality",
        text="From PyTorch's ordinary start, weight decay makes them come back in higher quality than no decay from that start.",
        source=f"{PAPER}, abstract",
        family=FAMILY,
        grids=DECAYS,
        test="difference",
        where={"attack": KKT, **ORDINARY},
        a=DECAYED,
        b=UNDECAYED,
        **QUALITY,
    ),
    Claim(
        name="decay_over_small_start",
        text="Weight decay from an ordinary start makes more training images come back than a small start without decay.",
        source=f"ours: the other baseline that the abstract of {PAPER} leaves open",
        family=FAMILY,
        grids=DECAYS,
        test="difference",
        margin=OF_RECALL,
        where={"attack": KKT},
        a={**DECAYED, **ORDINARY},
        b={**UNDECAYED, **SMALL},
    ),
    Claim(
        name="decay_over_small_start_quality",
        text="Weight decay from an ordinary start makes them come back in higher quality than a small start without decay.",
        source=f"ours: the other baseline that the abstract of {PAPER} leaves open",
        family=FAMILY,
        grids=DECAYS,
        test="difference",
        where={"attack": KKT},
        a={**DECAYED, **ORDINARY},
        b={**UNDECAYED, **SMALL},
        **QUALITY,
    ),
    Claim(
        name="decay_depends_on_start",
        text="What a weight decay of 0.01 adds depends on the start: it adds more to an ordinary start than to a small one.",
        source=f"ours: what is left of the abstract of {PAPER} if decay does no more than make the start be forgotten",
        family=FAMILY,
        grids=DECAYS,
        test="interaction",
        margin=OF_RECALL,
        where={"attack": KKT},
        a={"weight_decay": 0.01},
        b=UNDECAYED,
        across=(ORDINARY, SMALL),
    ),
)

OF_SIZE = (
    Claim(
        name="falls_with_samples",
        text="The more training images a network of one size has, the smaller the share of them that comes back.",
        source=f"{PAPER}, abstract: neurons relative to samples",
        family=FAMILY,
        grids=("dataset_size",),
        test="trend",
        margin=A_DOUBLING,
        where={"attack": "haim_kkt"},
        along="n_per_class",
        expected="below",
    ),
    Claim(
        name="rises_with_neurons",
        text="The wider the network at one number of training images, the larger the share of them that comes back.",
        source=f"{PAPER}, abstract: neurons relative to samples",
        family=FAMILY,
        grids=("width",),
        test="trend",
        margin=A_DOUBLING,
        where={"attack": "haim_kkt"},
        along="hidden",
    ),
)

OF_LOSSES = (
    Claim(
        name="squared_loss_works",
        text="With weight decay, more training images of networks trained with the squared loss come back than by any control.",
        source=f"{PAPER}, abstract and general losses",
        family=FAMILY,
        grids=("losses", "buzaglo2023"),
        test="works",
        margin=OF_RECALL,
        where={"loss": "mse", "weight_decay": DECAY},
    ),
)

OF_CONVOLUTIONS = (
    Claim(
        name="cnn_works",
        text="With weight decay, more training images of networks with convolutions come back than by any control.",
        source=f"{PAPER}, abstract",
        family=FAMILY,
        grids=("architectures",),
        test="works",
        margin=OF_RECALL,
        where={"attack": KKT, "model": "cnn", "weight_decay": DECAY},
    ),
)

ON_MULTICLASS = (*OF_CLASSES, *OF_WEIGHT_DECAY, *OF_SIZE)
ON_REGRESSION = (*OF_LOSSES, *OF_CONVOLUTIONS)
