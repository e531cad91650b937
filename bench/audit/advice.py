"""What to do about a verdict: what the published grids measured, and what they did not."""

from __future__ import annotations

from bench.audit.verdict import INCONCLUSIVE, LEAKS

MEASURED = (  # excess recall, in the mean over seeds: `tests/audit/test_advice.py` reads each number off the published rows
    "Keep the weights before training to yourself, or the seed that they were drawn by: after PyTorch's usual start span_ica finds 0.00 of "
    "the members without them, and span_ica_change 0.71 to 1.00 with them (grid default_init). A network that is fine-tuned from a public "
    "checkpoint cannot keep them.",
    "More training images a class: from 2 to 40 of them what comes back falls from 0.94 to 0.48 with the weights before training, from "
    "0.91 to 0.19 without (grid dataset_size).",
    "Convolutions before the first dense layer: at most 0.33 came back of such networks, 0.52 to 0.87 of fully connected ones (grid "
    "architectures). The attacks on the span of features were not in that grid; with the weights before training they find more.",
    "Less weight decay, if you can keep the weights before training: without them span_ica finds 0.11 where there is none, 0.64 at 0.01; "
    "with them there is no difference to speak of, 0.69 to 0.72 (grid weight_decay, PyTorch's usual start).",
    "The width, the loss or more epochs are no defence: what span_ica_change finds differs by 0.06, 0.02 and 0.01 (grids width, losses, "
    "training_length).",
)
UNMEASURED = (
    "Rounded or noisy weights are there to be tried (defences rounding, weight_noise); no published grid says what they are worth. Apply "
    "them to a copy and audit that."
)


def advice(outcome: str, *, initial: bool, runs: int, labelled: bool, known: bool = False) -> list[str]:
    """Sentences, the most useful first.

    Args:
        initial: whether the weights before training were given.
        runs: runs of the attack that was run most often.
        labelled: whether the labels of the members are known.
        known: whether the published grid of defences says what they are worth (`bench.audit.helped`).
    """
    more = []
    measured = [*MEASURED, *([] if known else [UNMEASURED])]
    if not initial:
        more.append(
            "Give the weights before training, or the public ones that it was fine-tuned from: --initial FILE. Attacks find far more."
        )
    if runs == 1:
        more.append("One run of each attack is a first look; --runs 20 is what a patient attacker does.")
    if outcome == INCONCLUSIVE and not labelled:
        more.append("Give the labels of the members (a folder a class, or --labels FILE): the network is then read with more certainty.")
    if outcome == LEAKS:
        return ["Do not release these weights while the images shown here are private. Retrain, and audit again.", *measured]
    return [*more, *measured]
