"""How seconds a step grow with images, candidates, width, depth and stack size, beside the authors' loop, with fitted exponents."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from attacks.haim_kkt import HaimKKT
from bench.report.kit.canvas import matplotlib
from bench.tracks.reconstruction import Release

from .clock import Samples, interleaved, seconds
from .line import Line, Part
from .problem import release, step_seconds
from .steps import alone, opponent


@dataclass(frozen=True)
class Size:
    """Values along each axis, and what the others stay at."""

    images: tuple[int, ...] = (20, 40, 80, 160, 320)
    candidates: tuple[int, ...] = (1, 2, 4, 8, 16)  # an image
    width: tuple[int, ...] = (125, 250, 500, 1000, 2000)
    depth: tuple[int, ...] = (1, 2, 4, 8)
    stack: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    n_train: int = 40
    hidden: int = 500
    shape: tuple[int, int, int] = (3, 32, 32)
    steps: int = 100  # of ours in a sample
    repeats: int = 5


FULL = Size()
QUICK = Size(
    images=(10, 20, 40), candidates=(1, 2, 4), width=(60, 120, 240), depth=(1, 2, 4), stack=(1, 2, 4), n_train=20, hidden=120, repeats=2
)
TOY = Size(
    images=(2, 4), candidates=(1, 2), width=(5, 10), depth=(1, 2), stack=(1, 2), n_train=3, hidden=8, shape=(1, 5, 5), steps=2, repeats=1
)


@dataclass(frozen=True)
class Axis:
    """One panel: the values, our seconds a step (of the whole stack), and theirs where they are measured."""

    name: str
    values: tuple[int, ...]
    ours: tuple[Samples, ...]
    theirs: tuple[Samples, ...]


def run(size: Size) -> Part:
    """Five panels and a table of exponents; no targets."""

    def victim(n: int = size.n_train, width: int = size.hidden, depth: int = 1) -> Release:
        return release((width,) * depth, n, rank=n, shape=size.shape)

    attack = HaimKKT(subspace=size.n_train)
    axes = [
        measured("images n (m = 2n, rank n)", size.images, lambda n: (replace(attack, subspace=n), victim(n=n), 1), size),
        measured(
            "candidates m",
            tuple(c * size.n_train for c in size.candidates),
            lambda m: (replace(attack, candidates_per_image=m // size.n_train), victim(), 1),
            size,
        ),
        measured("width of the hidden layer", size.width, lambda w: (attack, victim(width=w), 1), size),
        measured("hidden layers", size.depth, lambda d: (attack, victim(depth=d), 1), size),
        measured("runs stacked", size.stack, lambda b: (attack, victim(), b), size, beside=False),
    ]
    rows = [
        "| seconds a step against | from | to | ours, exponent | last doubling | authors', exponent |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for axis in axes:
        ours, theirs = (tuple(s.median for s in side) for side in (axis.ours, axis.theirs))
        rows.append(
            f"| {axis.name} | {axis.values[0]} | {axis.values[-1]} | {exponent(axis.values, ours):.2f} | "
            f"{exponent(axis.values[-2:], ours[-2:]):.2f} | {f'{exponent(axis.values, theirs):.2f}' if theirs else '–'} |"
        )
    text = (
        f"### Growth\n\nWhere nothing else is said: n = {size.n_train}, m = {2 * size.n_train}, one hidden layer of {size.hidden}, "
        f"{'×'.join(map(str, size.shape))} pixels, row space of rank n, float32, one run; the authors' loop in float64 and all pixels. "
        "Small sizes are bound by launches, which cost the same whatever the size.\n\n![seconds a step](figures/perf_growth.png)\n\n"
    )
    lines = tuple(
        Line(f"growth-{axis.name.split()[0]}", f"step, {axis.name} = {value}", sample, axis.theirs[i] if axis.theirs else None)
        for axis in axes
        for i, (value, sample) in enumerate(zip(axis.values, axis.ours, strict=True))
    )
    return Part((), text=text + "\n".join(rows), pictures={"perf_growth.png": picture(axes)}, raw=lines)


def measured(
    name: str, values: Sequence[int], make: Callable[[int], tuple[HaimKKT, Release, int]], size: Size, *, beside: bool = True
) -> Axis:
    """Samples along one axis; ``make`` gives attack, release and stack size for a value."""
    ours, theirs = [], []
    for value in values:
        attack, victim, runs = make(value)
        solve = alone(attack, victim, runs)
        timed: dict[str, Callable[[], float]] = {"ours": lambda solve=solve: step_seconds(solve, size.steps)}  # type: ignore[misc]
        if beside:
            rival = opponent(victim, attack)
            timed["theirs"] = lambda rival=rival: seconds(rival.step)  # type: ignore[misc]
        samples = interleaved(size.repeats, **timed)
        ours.append(replace(samples["ours"], per="step"))
        if beside:
            theirs.append(replace(samples["theirs"], per="step"))
    return Axis(name, tuple(values), tuple(ours), tuple(theirs))


def exponent(values: Sequence[float], times: Sequence[float]) -> float:
    """Slope of log seconds against log value, least squares."""
    return float(np.polyfit(np.log(np.asarray(values, float)), np.log(np.asarray(times, float)), 1)[0])


def picture(axes: Sequence[Axis]) -> bytes:
    """Small log-log panels, ours and theirs, medians."""
    matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    figure = Figure(figsize=(10.5, 5.6), layout="constrained")
    panels = figure.subplots(2, 3, sharey=True)
    for panel, axis in zip(panels.flat, axes, strict=False):
        for side, label, colour, mark in ((axis.ours, "ours", "#0b62a4", "o"), (axis.theirs, "authors' loop", "#d1495b", "s")):
            if not side:
                continue
            times = [s.median for s in side]
            slope = exponent(axis.values, times)
            panel.plot(axis.values, times, marker=mark, markersize=4, linewidth=1.4, color=colour, label=f"{label}, exponent {slope:.2f}")
        panel.set(xscale="log", yscale="log")
        panel.set_title(axis.name, fontsize=10)
        panel.xaxis.set_major_locator(FixedLocator(list(axis.values)))
        panel.xaxis.set_major_formatter(ScalarFormatter())
        panel.xaxis.set_minor_locator(NullLocator())
        panel.grid(color="#e3e3e3", linewidth=0.6)
        panel.legend(frameon=False, fontsize=8)
    for panel in panels[:, 0]:
        panel.set_ylabel("seconds a step")
    for panel in list(panels.flat)[len(axes) :]:
        panel.set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
