"""What attacks cost on a network, so that an audit ends: operations are counted, not seconds, and the same audit takes the same steps."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from bench.artefacts.reading import Reading
from bench.engine.prepare import PlannedAttack

SEARCH = 4e11  # operations of a search through autograd that nobody has given a number of steps; some ten seconds of a core
TWICE, ONCE = 10, 3  # forward passes that a step through two derivatives costs, and through one
LEAST, MOST = 50, 600  # steps


def flops(reading: Reading, images: int) -> float:
    """Multiplications and additions of a forward pass of so many images."""
    from torch.utils.flop_counter import FlopCounterMode

    like = next(iter(reading.weights.values()))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        reading.forward(reading.weights, like.new_zeros(2, *reading.architecture.input_shape))
    return max(1.0, float(counter.get_total_flops())) * images / 2


def shortened(planned: PlannedAttack, reading: Reading, n_train: int) -> tuple[PlannedAttack, str]:
    """The attack with so many steps as end soon, where it searches through autograd and nobody has said how many; and the words for it."""
    cls = planned.cls
    if cls is None or cls.budget != "steps" or "steps" in planned.spec.params:
        return planned, ""
    instances: list[Any] = []
    words = ""
    one: Any
    for one in planned.instances:
        step = flops(reading, one.candidates_per_image * n_train) * TWICE if cls.kkt else flops(reading, 2 * n_train) * ONCE
        steps = max(LEAST, min(MOST, int(SEARCH / step / max(1, len(planned.instances)))))
        if steps < one.steps:
            words = f"{steps} of {one.steps} steps, as the network has no closed form; --param steps=N for more"
            one = dataclasses.replace(one, steps=steps)
        instances.append(one)
    return dataclasses.replace(planned, instances=tuple(instances)), words
