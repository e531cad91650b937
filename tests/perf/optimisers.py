"""Seconds to a score: excess recall against time for each optimiser of the attack, all on our engine."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from attacks.haim_kkt import HaimKKT
from bench import seeds
from bench.api import Candidates, Target
from bench.report.kit.canvas import matplotlib

from . import recovery
from .clock import Samples, seconds
from .line import Line, Part
from .problem import real_images

PAPERS = "sgd"
WITHIN = 0.02  # of the papers' final excess recall
CONTENDERS = {PAPERS: HaimKKT(), "adam": HaimKKT(optimizer="adam", lr=0.1, lr_lambda=0.01)}


@dataclass(frozen=True)
class Size:
    """Of the targets, the runs and the curve."""

    target: recovery.Size = recovery.FULL
    targets: int = 8
    starts: int = 2  # runs a target
    steps: tuple[int, ...] = (50, 100, 200, 400, 800, 1600, 3200)
    rounds: int = 3  # of all contenders in turn, which differ in seconds alone
    contenders: dict[str, HaimKKT] = field(default_factory=lambda: CONTENDERS)


FULL = Size()
QUICK = Size(target=recovery.QUICK, targets=2, starts=1, steps=(25, 50, 100), rounds=2)
TOY = Size(target=recovery.TOY, targets=2, starts=1, steps=(2, 4, 8), rounds=2)


@dataclass(frozen=True)
class Curve:
    """Excess recall after a number of steps, and the seconds a run that these took."""

    name: str
    steps: tuple[int, ...]
    seconds: tuple[float, ...]  # per run of the stack
    recall: tuple[float, ...]  # mean excess recall over targets and starts, 0 to 1
    error: tuple[float, ...]  # standard error of that mean

    def seconds_to(self, level: float, between: bool = False) -> float | None:
        """Seconds of the first point at or above a level; None if there is none.

        Args:
            between: where a straight line from the point before reaches it. Only for an optimiser whose shorter run is the beginning of
                its longer one: of SGD, not of Adam with a learning rate that falls to 0.
        """
        before = (0.0, 0.0)
        for point in zip(self.seconds, self.recall, strict=True):
            if point[1] >= level:
                rise = point[1] - before[1]
                share = max(0.0, (level - before[1]) / rise) if between and rise > 0 else 1.0
                return before[0] + share * (point[0] - before[0])
            before = point
        return None


def run(size: Size) -> Part:
    """The line for the best contender, and a picture of all curves."""
    dataset, display = real_images() if not size.target.dataset else (size.target.dataset, size.target.dataset)
    victims = recovery.targets(dataset, size.target, size.targets)
    rounds = [{name: curve(name, attack, victims, size) for name, attack in size.contenders.items()} for _ in range(size.rounds)]
    curves = [median([one[name] for one in rounds]) for name in size.contenders]
    papers = next(c for c in curves if c.name == PAPERS)
    level = papers.recall[-1] - WITHIN
    reached = {c.name: at for c in curves if c is not papers and (at := c.seconds_to(level)) is not None}
    best = min(reached, key=lambda name: reached[name]) if reached else None

    def samples(name: str, *, between: bool = False) -> Samples:
        return Samples(tuple(at for one in rounds if (at := one[name].seconds_to(level, between)) is not None), "run")

    what = (
        f"seconds a run to the papers' final excess recall within {WITHIN} ({papers.recall[-1]:.3f} after {papers.steps[-1]} steps of "
        f"SGD with momentum 0.9), best optimiser against theirs on our engine; {size.targets} targets of {display}, "
        f"{size.starts} starts each"
    )
    line = Line(
        "optimiser",
        what + (f": {best}" if best else ""),
        None if best is None else samples(best),
        samples(PAPERS, between=True),
        at_least=2.0,
        note=("" if best else "no other optimiser reaches it; ")
        + f"stacked runs, {len(victims) * size.starts} at once; ours at a point that was run, the papers' between two",
    )
    rows = ["| optimiser | steps | seconds a run | excess recall | ± standard error |", "|---|---:|---:|---:|---:|"]
    rows += [
        f"| {c.name} | {s} | {t:.3g} | {r:.3f} | {e:.3f} |"
        for c in curves
        for s, t, r, e in zip(c.steps, c.seconds, c.recall, c.error, strict=True)
    ]
    text = f"### Excess recall against seconds\n\nSeconds: medians of {size.rounds} rounds.\n\n" + "\n".join(rows) + "\n"
    return Part((line,), text=text, pictures={"perf_optimisers.png": picture(curves, level)})


def curve(name: str, attack: HaimKKT, victims: list[Target], size: Size) -> Curve:
    """All runs stacked, once for each number of steps, each from the same starts."""
    releases = [v.release for v in victims for _ in range(size.starts)]
    times, recall, error = [], [], []
    for steps in size.steps:
        answers: list[Candidates] = []
        streams = [seeds.generator("perf optimiser", i) for i in range(len(releases))]
        spent = seconds(
            lambda steps=steps, streams=streams, answers=answers: answers.extend(
                HaimKKT.reconstruct_batch([dataclasses.replace(attack, steps=steps)] * len(releases), releases, streams)
            )
        )
        excess = []
        for i, answer in enumerate(answers):
            secret = victims[i // size.starts].secret
            found = recovery.recovered(answer.images, secret)
            excess.append((found.members - found.controls) / len(secret.members))
        times.append(spent / len(releases))
        recall.append(float(np.mean(excess)))
        error.append(float(np.std(excess, ddof=1) / np.sqrt(len(excess))) if len(excess) > 1 else 0.0)
    return Curve(name, size.steps, tuple(times), tuple(recall), tuple(error))


def median(rounds: Sequence[Curve]) -> Curve:
    """The same points in the median of their seconds."""
    return dataclasses.replace(rounds[0], seconds=tuple(np.median([one.seconds for one in rounds], 0).tolist()))


def picture(curves: list[Curve], level: float) -> bytes:
    """Excess recall against seconds, the papers' final level as a line."""
    matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for c, mark in zip(curves, "osD^vPX<" * 4, strict=False):
        axes.errorbar(c.seconds, c.recall, yerr=c.error, marker=mark, markersize=4, linewidth=1.4, capsize=2, label=c.name)
    axes.axhline(level, color="#888888", linewidth=0.8, linestyle=(0, (4, 3)))
    where = {"xycoords": ("axes fraction", "data"), "va": "bottom", "fontsize": 8, "color": "#555555"}
    axes.annotate(f"final of {PAPERS} − {WITHIN}", (0.01, level), **where)
    axes.set(xscale="log", xlabel="seconds a run", ylabel="excess recall")
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.grid(color="#e3e3e3", linewidth=0.6)
    axes.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()
