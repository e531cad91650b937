"""The attack on the span of the first layer: seconds of one cell, and how they grow with images and with pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from attacks.span_ica import SpanICA
from bench import seeds
from bench.api import Candidates
from bench.tracks.reconstruction import Release

from .clock import Samples, interleaved, seconds
from .growth import exponent
from .line import Check, Line, Part
from .problem import release


@dataclass(frozen=True)
class Size:
    """Of the networks: images, units, sides of the colour images, and what the others stay at along an axis."""

    few: int = 20
    many: int = 100
    images: tuple[int, ...] = (10, 20, 50, 100, 200)
    sides: tuple[int, ...] = (16, 24, 32, 48)
    units: int = 1000
    side: int = 32
    repeats: int = 3


FULL = Size()
QUICK = Size(few=10, many=20, images=(5, 10, 20), sides=(8, 16), units=100, side=16, repeats=2)
TOY = Size(few=3, many=5, images=(3, 5), sides=(5, 6), units=20, side=6, repeats=1)


def run(size: Size) -> Part:
    """A line for few images and one for many, and a table of exponents."""
    attack = SpanICA()

    def cell(n: int, side: int, answers: list[Candidates]) -> Callable[[], float]:
        target = victim(n, size.units, side)
        return lambda: seconds(lambda: answers.append(attack.reconstruct(target, seeds.generator("perf span"))))

    answers: list[Candidates] = []
    counts = sorted({size.few, size.many, *size.images})
    by_n = interleaved(size.repeats, **{str(n): cell(n, size.side, answers) for n in counts})
    by_side = interleaved(size.repeats, **{str(side): cell(size.few, side, answers) for side in size.sides})
    unsound = sum(int((~answer.images.isfinite()).sum()) for answer in answers)
    lines = [
        Line(
            f"span-{name}",
            f"one cell of span_ica at n = {n}, {3 * size.side**2}-{size.units}-1",
            Samples(by_n[str(n)].seconds, "cell"),
            at_most=at_most,
            checks=(Check("pixels that are no number", float(unsound), 0.0),),
            note=f"{attack.steps} steps of FastICA a pass: drawn rows hold no independent components, so no pass ends early",
        )
        for name, n, at_most in (("few", size.few, 0.5), ("many", size.many, 5.0))
    ]
    table = [
        "### Span of the first layer",
        "",
        "| seconds of a cell of span_ica against | " + "from | to | seconds | exponent |",
        "|---|---:|---:|---:|---:|",
        _row(f"images n ({3 * size.side**2} pixels)", size.images, [by_n[str(n)].median for n in size.images]),
        _row(f"pixels D (n = {size.few})", [3 * side**2 for side in size.sides], [by_side[str(side)].median for side in size.sides]),
    ]
    return Part(tuple(lines), text="\n".join(table))


def victim(n: int, units: int, side: int) -> Release:
    """A drawn network whose first layer has rank n, and a mean image that is no constant."""
    drawn = release((units,), n, rank=n, shape=(3, side, side))
    return replace(drawn, mean_image=torch.rand(3, side, side, generator=seeds.generator("perf mean", side), dtype=torch.float64))


def _row(axis: str, values: tuple[int, ...] | list[int], spent: list[float]) -> str:
    return f"| {axis} | {values[0]} | {values[-1]} | {' '.join(f'{s:.2g}' for s in spent)} | {exponent(values, spent):.2f} |"
