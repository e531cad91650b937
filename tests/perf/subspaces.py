"""The space that is searched: all pixels, the top right singular vectors of the first layer, or all its rows; seconds beside score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from attacks.haim_kkt import HaimKKT
from bench import seeds
from bench.api import Candidates, Target
from bench.metrics.intervals import t_interval

from . import recovery
from .clock import Samples, seconds
from .line import Check, Line, Part
from .optimisers import CONTENDERS
from .problem import real_images

PIXELS, CHOSEN = "none", "auto"  # what it is compared with, and the default


@dataclass(frozen=True)
class Size:
    """Of the targets and the runs."""

    target: recovery.Size = recovery.FULL
    targets: int = 8
    starts: int = 3  # stacks of a run a target, each from starts of its own
    sgd: int = 800  # steps
    adam: int = 400


FULL = Size()
QUICK = Size(target=recovery.QUICK, targets=3, sgd=100, adam=50)
TOY = Size(target=recovery.TOY, targets=2, sgd=4, adam=4)


@dataclass(frozen=True)
class Searched:
    """Runs of one optimiser in one space."""

    optimizer: str
    subspace: str | int
    seconds: tuple[float, ...]  # a run; a sample a stack
    excess: tuple[float, ...]  # recall of each run
    ssim: tuple[float, ...]  # members' mean of each run


def run(size: Size) -> Part:
    """A line for the default against all pixels, and a table of all spaces."""
    dataset, display = real_images() if not size.target.dataset else (size.target.dataset, size.target.dataset)
    victims = recovery.targets(dataset, size.target, size.targets)
    n = victims[0].release.n_train
    spaces = (PIXELS, CHOSEN, max(1, n // 2), 2 * n, "rows")
    found = [_search(name, space, victims, size) for name in CONTENDERS for space in spaces]
    by = {(one.optimizer, one.subspace): one for one in found}
    pixels, chosen = by["sgd", PIXELS], by["sgd", CHOSEN]
    apart = t_interval(np.subtract(chosen.ssim, pixels.ssim))
    line = Line(
        "subspace",
        f"one run of {size.sgd} steps of SGD in the row space (subspace: {CHOSEN}) against all pixels, both on our engine; {size.targets} "
        f"targets of {display}, {n} images each, {size.targets} runs stacked",
        Samples(chosen.seconds, "run"),
        Samples(pixels.seconds, "run"),
        checks=(Check("mean SSIM below that of all pixels, far end of the 95 % interval", max(0.0, -apart.low), 0.03),),
        note=f"mean SSIM beside all pixels {apart.estimate:+.3f} [{apart.low:+.3f}, {apart.high:+.3f}] over {len(pixels.ssim)} runs",
    )
    rows = [
        "| optimiser | steps | subspace | seconds a run | excess recall | mean SSIM | beside all pixels |",
        "|---|--:|:--|--:|--:|--:|--:|",
    ]
    for one in found:
        beside = t_interval(np.subtract(one.ssim, by[one.optimizer, PIXELS].ssim))
        rows.append(
            f"| {one.optimizer} | {getattr(size, one.optimizer)} | {one.subspace} | {np.median(one.seconds):.3g} "
            f"| {_mean(one.excess)} | {_mean(one.ssim)} "
            f"| {'—' if one.subspace == PIXELS else f'{beside.estimate:+.3f} [{beside.low:+.3f}, {beside.high:+.3f}]'} |"
        )
    text = [
        "### Space of the search",
        "",
        f"`subspace` of the KKT attacks: all pixels (none), the {n} top right singular vectors of the first layer where they hold its",
        "weights (auto, the default), half and twice as many of them, or all rows of the layer. Means over runs, ± standard error; beside",
        "all pixels the mean difference in SSIM from the same targets, 95 % t-interval.",
        "",
        *rows,
    ]
    return Part((line,), text="\n".join(text))


def _search(name: str, space: str | int, victims: Sequence[Target], size: Size) -> Searched:
    times, excess, ssim = [], [], []
    attack = replace(CONTENDERS[name], subspace=space, steps=getattr(size, name))
    releases = [victim.release for victim in victims]
    for start in range(size.starts):
        answers: list[Candidates] = []
        streams = [seeds.generator("perf subspace", start, i) for i in range(len(victims))]
        spent = seconds(
            lambda answers=answers, streams=streams: answers.extend(HaimKKT.reconstruct_batch([attack] * len(releases), releases, streams))
        )
        times.append(spent / len(victims))
        for answer, victim in zip(answers, victims, strict=True):
            got = recovery.recovered(answer.images, victim.secret)
            excess.append((got.members - got.controls) / len(victim.secret.members))
            ssim.append(got.ssim)
    return Searched(name, space, tuple(times), tuple(excess), tuple(ssim))


def _mean(values: tuple[float, ...]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"
