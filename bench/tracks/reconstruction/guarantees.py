"""What private training promises of a target, beside what attacks find: columns of the score row.

The bound on reconstruction needs a prior, the chance of an attack that sees nothing. Here it is that of ranks among look-alikes
(``ranks``): whoever knows all other members, and so the class of the missing one, has it among the look-alikes of that class, all of them
as likely: κ = 1 / (1 + look-alikes of a class). An attack that does no better submits images that are nearest to the member itself, and to
none of the look-alikes, for a share of κ; one that sees a private training for a share of ``rero_bound`` at most. That share is measured as
``rank_first``.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from bench.api import Setting, Training
from bench.errors import BenchError
from bench.targets.privacy import blow_up, epsilon
from bench.targets.train_defended import sampling

FALSE_POSITIVES = 0.01  # rate at which membership tests are read


def guarantees(training: Training | None, setting: Setting, images: int, lookalikes: Tensor | None, classes: int) -> dict[str, Any]:
    """The columns; none where the training is not private.

    Args:
        images: that the network is trained on.
        lookalikes: of the secret, as many of each class.
    """
    private = None if training is None else training.private
    if private is None:
        return {}
    rate, each = sampling(private, setting, images)
    steps = setting.epochs * each
    row: dict[str, Any] = {"epsilon_reason": "no noise, so nothing is promised", "delta": images**-2.0}
    if private.noise:
        try:
            row["epsilon"], row["accountant"] = epsilon(private.noise, rate, steps, row["delta"])
            row["epsilon_reason"] = ""
        except BenchError as error:  # that Opacus is missing
            row["epsilon_reason"] = error.line
    noise = private.noise if math.isfinite(private.clip) else 0.0
    if lookalikes is not None and len(lookalikes):
        row["rero_prior"] = 1 / (1 + len(lookalikes) / classes)
        row["rero_bound"] = blow_up(noise, rate, steps, row["rero_prior"])
    row["tpr_bound"] = blow_up(noise, rate, steps, FALSE_POSITIVES)
    return row
