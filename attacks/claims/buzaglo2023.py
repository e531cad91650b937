"""Claims of Buzaglo et al. 2023: the paper (arXiv 2307.01827) and the workshop paper before it (arXiv 2305.03350)."""

from __future__ import annotations

from bench.api import Claim

PAPER = "Buzaglo et al., NeurIPS 2023 (arXiv 2307.01827)"
BEFORE = "Buzaglo et al. 2023 (arXiv 2305.03350)"
KKT = ("haim_kkt", "multiclass_kkt", "regression_kkt")

# Ten classes against two at an equal number of images: labels of the axis `task`, and what differs with them.
MANY = {"axis:task": "10 classes, cross-entropy", "attack": "multiclass_kkt"}
TWO = {"axis:task": "2 classes, logistic", "attack": "haim_kkt"}
BY_TASK = ("classes", "n_per_class", "loss")

# No less than the paper's own coefficient of 7.5e-4, and none at all. A decayed network without a partner that shares the rest of its
# setting, initialisation included, is left out.
DECAY = "> 0.0007"
DECAYED, UNDECAYED = {"weight_decay": DECAY}, {"weight_decay": 0}

OF_CLASSES = (
    Claim(
        name="multiclass_works",
        text="Training images can be rebuilt from the weights of networks with many classes.",
        source=f"{BEFORE}, abstract; {PAPER}, abstract",
        grids=("multiclass", "buzaglo2023"),
        test="works",
    ),
    Claim(
        name="more_classes_give_more",
        text="At an equal number of training images, the more classes, the more of them come back.",
        source=f"ours, after {BEFORE}, abstract: of higher quality than with two classes",
        grids=("multiclass",),
        test="trend",
        along="classes",
        tied=("n_per_class",),
    ),
    Claim(
        name="multiclass_over_binary",
        text="At an equal number of training images, more come back from ten classes than from two.",
        source=f"{PAPER}, multiclass experiments",
        grids=("buzaglo2023",),
        test="difference",
        a=MANY,
        b=TWO,
        tied=BY_TASK,
    ),
    Claim(
        name="multiclass_quality",
        text="At an equal number of training images, they come back in higher quality from ten classes than from two.",
        source=f"{BEFORE}, abstract",
        grids=("buzaglo2023",),
        test="difference",
        column="ssim_mean",
        minus="ssim_mean_controls",
        a=MANY,
        b=TWO,
        tied=BY_TASK,
    ),
)

OF_WEIGHT_DECAY = (
    Claim(
        name="weight_decay_quantity",
        text="Weight decay in training makes more training images come back.",
        source=f"{PAPER}, abstract; {BEFORE}, abstract",
        grids=("weight_decay", "buzaglo2023"),
        test="difference",
        where={"attack": KKT},
        a=DECAYED,
        b=UNDECAYED,
    ),
    Claim(
        name="weight_decay_quality",
        text="Weight decay in training makes them come back in higher quality.",
        source=f"{PAPER}, abstract",
        grids=("weight_decay", "buzaglo2023"),
        test="difference",
        column="ssim_mean",
        minus="ssim_mean_controls",
        where={"attack": KKT},
        a=DECAYED,
        b=UNDECAYED,
    ),
)

OF_SIZE = (
    Claim(
        name="falls_with_samples",
        text="The more training images a network of one size has, the smaller the share of them that comes back.",
        source=f"{PAPER}, abstract: neurons relative to samples",
        grids=("dataset_size",),
        test="trend",
        where={"attack": "haim_kkt"},
        along="n_per_class",
        expected="below",
    ),
    Claim(
        name="rises_with_neurons",
        text="The wider the network at one number of training images, the larger the share of them that comes back.",
        source=f"{PAPER}, abstract: neurons relative to samples",
        grids=("width",),
        test="trend",
        where={"attack": "haim_kkt"},
        along="hidden",
    ),
)

OF_LOSSES = (
    Claim(
        name="squared_loss_works",
        text="With weight decay, training images come back from networks trained with the squared loss.",
        source=f"{PAPER}, abstract and general losses",
        grids=("losses", "buzaglo2023"),
        test="works",
        where={"loss": "mse", "weight_decay": DECAY},
    ),
)

OF_CONVOLUTIONS = (
    Claim(
        name="cnn_works",
        text="With weight decay, training images come back from networks with convolutions.",
        source=f"{PAPER}, abstract",
        grids=("architectures",),
        test="works",
        where={"attack": KKT, "model": "cnn", "weight_decay": DECAY},
    ),
)

ON_MULTICLASS = (*OF_CLASSES, *OF_WEIGHT_DECAY, *OF_SIZE)
ON_REGRESSION = (*OF_LOSSES, *OF_CONVOLUTIONS)
