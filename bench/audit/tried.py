"""Which of the readings that fit is the right one: each is tried at the members, and the one that classifies them is taken and said.

Many classify all of them. The right one does so most clearly: training has made the margins of its images alike, and any other reading adds
noise. So the mean margin over its standard deviation tells, whatever the scale of the outputs; of thirteen networks in the tests it tells
activation, padding and pooling. Where there are batch normalisations, they tell more: what they have seen in training is what they see.
Where nothing classifies the members, what would raise their accuracy is looked for and named.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.artefacts.reading import Reading
from bench.audit.preprocessing import Preprocessing, usual
from bench.audit.work import flops
from bench.targets.losses import predicted

LOOK = 256  # members that are looked at, at most
FIRST_LOOK = 48  # of them for each of many readings
LEAST_LOOK, LOOK_WORK = 12, 2e11  # members at least, and operations that a look may take: some seconds of a core
CLOSER = 8  # readings that are looked at again
ALIKE = 0.94  # of the clearest: from there on the more usual reading is taken; a leaky ReLU stands 2 to 4 % above the ReLU that it is not
RIGHT = 0.9  # share of its training images that a network classifies correctly if it was read as it is meant
UNSURPRISED = 0.05  # mean surprise of normalisations that is none
LIKELY = 0.6  # share from which on another order of the classes is one: the best of all orders has some share by chance
WORTH = 0.1  # rise of the accuracy from which on a remedy is named


@dataclass(frozen=True, eq=False)
class Trial:
    """A reading with what is done to images before it."""

    reading: Reading
    before: Preprocessing
    accuracy: float = 0.0
    clarity: float = 0.0  # how clearly: the larger the likelier is this reading


def tried(reading: Reading, before: Preprocessing, images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"]) -> Trial:
    """How well, and how clearly, it classifies some images."""
    norms = [] if reading.module is None else [part for part in reading.module.modules() if isinstance(part, NORMS)]
    surprise: list[float] = []
    hooks = [part.register_forward_pre_hook(lambda part, given: surprise.append(_surprise(part, given[0]))) for part in norms]
    try:
        out = outputs(reading, before(images)) if reading.module is None else _direct(reading.module, before(images))
    finally:
        for hook in hooks:
            hook.remove()
    k = out.shape[1]
    if int(labels.max()) >= max(2, k) or not bool(torch.isfinite(out).all()):
        return Trial(reading, before)
    if k == 1:
        margin = out[:, 0] * (2 * labels - 1)
    else:
        own = labels[:, None]
        margin = out.gather(1, own)[:, 0] - out.scatter(1, own, -torch.inf).amax(1)
    told = len(labels.unique()) > 1  # else any network that always gives one answer is clear
    clear = float(margin.mean() / margin.std().clamp_min(1e-12)) if told else 1.0
    if surprise:
        clear /= UNSURPRISED + sum(surprise) / len(surprise) if clear > 0 else 1
    return Trial(reading, before, float((predicted(out) == labels).double().mean()), clear if math.isfinite(clear) else -math.inf)


NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)


@torch.no_grad()
def _direct(module: torch.nn.Module, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
    """The outputs of the module itself, which its hooks are called by."""
    out = module(x.float())
    out = out[0] if isinstance(out, (tuple, list)) else out
    return out.unsqueeze(1) if out.ndim == 1 else out


def _surprise(norm: torch.nn.Module, given: Tensor) -> float:
    """How far what a normalisation is given is from its running statistics: 0 where it is the same."""
    if not isinstance(norm.running_mean, Tensor) or not isinstance(norm.running_var, Tensor):
        return 0.0
    axes = [axis for axis in range(given.ndim) if axis != 1]
    var = norm.running_var.clamp_min(1e-12)
    off = (given.mean(axes) - norm.running_mean).abs() / var.sqrt()
    spread = (given.var(axes).clamp_min(1e-12) / var).log().abs() / 2
    return float((off + spread).clamp(max=10).mean())


@torch.no_grad()
def outputs(reading: Reading, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
    """Of images as the network gets them, some at a time."""
    like = next(iter(reading.weights.values()))
    return torch.cat([reading.forward(reading.weights, part.to(like)) for part in x.split(256)])


def chosen(
    readings: Sequence[Reading], before: Preprocessing, free: bool, images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"]
) -> tuple[Trial, list[str]]:
    """The reading that classifies the members, with the words to say about it.

    Args:
        before: what the options say, or the default.
        free: whether other preprocessings may be taken, for nobody has said which.
    """
    images, labels = images[:LOOK], labels[:LOOK]
    each = flops(readings[0], 1)
    images, labels = (part[: _affordable(LOOK_WORK, each * CLOSER * (len(usual(images)) + 1 if free else 1))] for part in (images, labels))
    few = len(labels) if len(readings) <= CLOSER else min(FIRST_LOOK, _affordable(LOOK_WORK, each * len(readings)))
    first = [tried(reading, before, images[:few], labels[:few]) for reading in readings]
    best = sorted(first[1:], key=lambda one: one.clarity, reverse=True)[: CLOSER - 1]
    kept = [reading for reading in readings if reading is readings[0] or any(one.reading is reading for one in best)]
    trials = [tried(reading, way, images, labels) for way in [before, *(usual(images) if free else [])] for reading in kept]
    clearest = max(trials, key=lambda one: one.clarity)
    top = next(one for one in trials if one.clarity >= min(ALIKE * clearest.clarity, clearest.clarity))
    chance = 2 * (0.25 / len(labels)) ** 0.5
    if top.accuracy < RIGHT and top.accuracy - trials[0].accuracy <= chance:
        top = trials[0]
    notes = []
    if len(readings) > 1:
        rival = max((one for one in trials if one.reading is not top.reading), key=lambda one: (one.clarity, one.accuracy))
        notes.append(
            f"read with {top.reading.choice}: of {len(readings)} readings that fit "
            + ("the one that classifies the members" if top.accuracy >= RIGHT else "the most usual, for none classifies the members well")
            + f", {top.accuracy:.0%}{' and most clearly' if top.accuracy >= RIGHT else ''}; "
            f"the next, with {rival.reading.choice}, {rival.accuracy:.0%}"
        )
    if top.before is not before:
        notes.append(
            f"preprocessing: {top.before.words} ({top.before.option}), which classifies the members most clearly, {top.accuracy:.0%}; "
            f"with {before.words} {max(one.accuracy for one in trials if one.before is before):.0%}"
        )
    return top, notes


def _affordable(work: float, each: float) -> int:
    """How many images so much work is enough for."""
    return max(LEAST_LOOK, int(work / each))


def remedies(
    taken: Trial, readings: Sequence[Reading], images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"]
) -> list[tuple[str, float]]:
    """What would raise the accuracy at the members, and to what, the best first."""
    affordable = _affordable(LOOK_WORK, flops(taken.reading, 1) * (min(len(readings), 64) + 10))
    images, labels = images[: min(LOOK, affordable)], labels[: min(LOOK, affordable)]
    base = tried(taken.reading, taken.before, images, labels).accuracy
    found: list[tuple[str, float]] = []
    for other in usual(images):
        found.append((other.option, tried(taken.reading, other, images, labels).accuracy))
    for reading in readings[:64]:
        if reading.choice != taken.reading.choice:
            found.append((f"to read it with {reading.choice}", tried(reading, taken.before, images, labels).accuracy))
    if images.shape[1] == 3:
        found.append(("channels in the order blue, green, red", tried(taken.reading, taken.before, images.flip(1), labels).accuracy))
    found.append(("images of the opposite contrast", tried(taken.reading, taken.before, 1 - images, labels).accuracy))
    words, share = _classes(outputs(taken.reading, taken.before(images)), labels)
    found += [(words, share)] if share >= LIKELY else []
    return sorted((one for one in found if one[1] >= base + WORTH), key=lambda one: -one[1])[:3]


def _classes(out: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> tuple[str, float]:
    """The order of the classes under which most members are classified correctly."""
    from scipy.optimize import linear_sum_assignment

    answers = predicted(out)
    k = max(2, out.shape[1], int(labels.max()) + 1)
    counts = torch.bincount(labels * k + answers, minlength=k * k).view(k, k).numpy()
    rows, columns = linear_sum_assignment(-counts)
    words = (
        "the labels look swapped (--labels)"
        if k == 2
        else "classes in another order: "
        + ", ".join(f"{row} is its {column}" for row, column in zip(rows, columns, strict=True) if row != column)
    )
    return words, float(counts[rows, columns].sum() / max(1, len(labels)))
