"""What to do about a verdict: what the published grids measured, and what they did not."""

from __future__ import annotations

from bench.audit.verdict import INCONCLUSIVE, LEAKS

MEASURED = (
    "Keep the weights before training to yourself, or the seed that they were drawn by: who has them finds far more (grid default_init). "
    "A network that is fine-tuned from a public checkpoint cannot keep them.",
    "More training images a class: the share that came back fell with their number (grid dataset_size).",
    "Convolutions and pooling before the first dense layer: least came back of such networks (grid architectures).",
    "Weight decay, the width, the loss or more epochs are no defence: no sure difference was found (grids weight_decay, width, losses, "
    "training_length).",
    "Rounded or noisy weights are there to be tried (defences rounding, weight_noise); no published grid says what they are worth. Apply "
    "them to a copy and audit that.",
)


def advice(outcome: str, *, initial: bool, runs: int, labelled: bool) -> list[str]:
    """Sentences, the most useful first.

    Args:
        initial: whether the weights before training were given.
        runs: runs of the attack that was run most often.
        labelled: whether the labels of the members are known.
    """
    more = []
    if not initial:
        more.append(
            "Give the weights before training, or the public ones that it was fine-tuned from: --initial FILE. Attacks find far more."
        )
    if runs == 1:
        more.append("One run of each attack is a first look; --runs 20 is what a patient attacker does.")
    if outcome == INCONCLUSIVE and not labelled:
        more.append("Give the labels of the members (a folder a class, or --labels FILE): the network is then read with more certainty.")
    if outcome == LEAKS:
        return ["Do not release these weights while the images shown here are private. Retrain, and audit again.", *MEASURED]
    return [*more, *MEASURED]
