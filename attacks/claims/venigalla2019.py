"""Claims of Venigalla 2019 (MIT): which memorised examples a thief picks up, by what the thief is told."""

from __future__ import annotations

from typing import Any

from bench.api import Claim

FAMILY = "Venigalla 2019"
PAPER = "Venigalla, Strongly-transferring memorized examples in deep neural networks, MIT 2019"
GRIDS = ("stealing", "venigalla2019")
PLAIN = {"param:model": "same", "param:source": "held_out"}
OVER_CLEAN: dict[str, Any] = {"column": "planted_transfer", "minus": "planted_transfer_clean"}
BOOSTED = ("mlp, rehearsal", "cnn, rehearsal", "cnn, rehearsal, each half as often")  # owners of grid `boost`
UNBOOSTED = ("mlp, no boost", "cnn, no boost")
NOTHING = 0.05  # of the planted labels beyond what clean networks give; ours, since "does not transfer" needs a number

ON_LABELS = (
    Claim(
        name="labels_carry_nothing",
        text="A thief who is told classes alone takes over less than one planted label in twenty beyond those that clean networks give.",
        source=f"{PAPER}: labels do not transfer memorised examples; the level of 0.05 is ours",
        family=FAMILY,
        grids=GRIDS,
        test="level",
        where={"attack": "steal_labels", **PLAIN},
        expected="below",
        level=NOTHING,
        **OVER_CLEAN,
    ),
)

ON_LOGITS = (
    Claim(
        name="logits_carry_nothing",
        text="A thief who is told the outputs takes over less than one planted label in twenty beyond those that clean networks give.",
        source=f"{PAPER}: outputs do not transfer memorised examples; the level of 0.05 is ours",
        family=FAMILY,
        grids=GRIDS,
        test="level",
        where={"attack": "steal_logits", **PLAIN},
        expected="below",
        level=NOTHING,
        **OVER_CLEAN,
    ),
    Claim(
        name="boost_raises_logits",
        text="An owner who rehearses theft while he trains has more planted labels come along with a thief who is told outputs alone.",
        source=f"{PAPER}: a simple change by the owner raises the transfer; this change is ours",
        family=FAMILY,
        grids=("boost",),
        test="difference",
        where={"attack": "steal_logits", **PLAIN},
        a={"axis:owner": BOOSTED},
        b={"axis:owner": UNBOOSTED},
        tied=("defense_params",),
        column="planted_transfer",
    ),
    Claim(
        name="boost_costs_little",
        text="Rehearsing theft costs the owner less than one point of test accuracy.",
        source="ours: the bar that makes a boost worth having",
        family=FAMILY,
        grids=("boost",),
        test="difference",
        where={"attack": "steal_logits", **PLAIN},
        a={"axis:owner": BOOSTED},
        b={"axis:owner": UNBOOSTED},
        tied=("defense_params",),
        column="test_accuracy",
        level=-0.01,
    ),
)


ON_GRADIENTS = (
    Claim(
        name="gradients_carry",
        text="A thief who is told input gradients too takes over more planted labels than clean networks give, or copies of these.",
        source=PAPER,
        family=FAMILY,
        grids=GRIDS,
        test="works",
        where={"attack": "steal_gradients", **PLAIN},
        **OVER_CLEAN,
    ),
    Claim(
        name="gradients_over_logits",
        text="A thief who is told input gradients takes over more planted labels than one who is told outputs alone.",
        source=PAPER,
        family=FAMILY,
        grids=GRIDS,
        test="difference",
        where=PLAIN,
        a={"attack": "steal_gradients"},
        b={"attack": "steal_logits"},
        column="planted_transfer",
    ),
    Claim(
        name="gradients_survive_architecture",
        text="Planted labels come along by input gradients when the thief's architecture is not the owner's.",
        source=PAPER,
        family=FAMILY,
        grids=GRIDS,
        test="works",
        where={"attack": "steal_gradients", "param:model": ("mlp", "cnn")},
        **OVER_CLEAN,
    ),
    Claim(
        name="gradients_survive_perturbation",
        text="Planted labels come along by input gradients when the thief asks about perturbed images.",
        source=PAPER,
        family=FAMILY,
        grids=GRIDS,
        test="works",
        where={"attack": "steal_gradients", "param:model": "same", "param:source": "perturbed"},
        **OVER_CLEAN,
    ),
    Claim(
        name="geometry_is_not_enough",
        text="A clean network's gradients at the same images carry fewer planted labels than the owner's: geometry alone is not enough.",
        source=f"{PAPER}: local input geometry does not explain the transfer; the clean network as its test is ours",
        family=FAMILY,
        grids=("mechanism",),
        test="difference",
        where=PLAIN,
        a={"attack": "steal_gradients", "param:smooth": 0, "param:jacobian": "random"},
        b={"attack": "steal_clean_gradients"},
        column="planted_transfer",
    ),
)
