"""Target training to an equal KKT residual at n = 500, any optimiser, against plain float64 gradient descent. Long: `--long`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bench.api import Setting

from .clock import Samples, seconds
from .line import Check, Line, Part
from .pixel_gd import PixelGD
from .problem import real_images
from .training import problem, ways

# name → the fields that differ from the base; the first is the papers' own way
CONTENDERS: tuple[tuple[str, dict[str, Any]], ...] = (("gd", {}),)


@dataclass(frozen=True)
class Size:
    """Of the target and the measurement."""

    n_per_class: int = 250
    hidden: tuple[int, ...] = (1000, 1000)
    epochs: int = 100_000
    lr: float = 0.01
    baseline_epochs: int = 10  # of pixel-space gradient descent, timed and scaled
    contenders: Sequence[tuple[str, dict[str, Any]]] = CONTENDERS
    dataset: str = ""


FULL = Size()
QUICK = Size(n_per_class=20, hidden=(100, 100), epochs=500, baseline_epochs=5, dataset="photo_tiles")
TOY = Size(n_per_class=2, hidden=(12, 10), epochs=30, baseline_epochs=2, dataset="photo_tiles")


def run(size: Size) -> Part:
    """The line for the contender that reaches the papers' residual first, and a table of all."""
    dataset, display = real_images() if not size.dataset else (size.dataset, size.dataset)
    base = Setting(
        dataset=dataset, n_per_class=size.n_per_class, hidden=size.hidden, epochs=size.epochs, lr=size.lr, init_scale=1e-4, stop_loss=1e-6
    )
    done = ways(base, size.contenders)
    papers = done[0]
    theirs = PixelGD(problem(base)[0], base, *problem(base)[1:])
    theirs.epoch()
    each = tuple(seconds(theirs.epoch) for _ in range(size.baseline_epochs))
    plain = Samples(each).times(papers.epochs, "training", f"{size.baseline_epochs} epochs timed and scaled to {papers.epochs}")
    good = [way for way in done if way.residual <= papers.residual * 1.01]
    best = min(good, key=lambda way: way.seconds)
    line = Line(
        "training-kkt",
        f"target training to an equal KKT residual, {2 * size.n_per_class} images of {display}, hidden {'-'.join(map(str, size.hidden))}: "
        f"{best.name} against float64 gradient descent on pixels",
        Samples((best.seconds,), "training"),
        plain,
        at_least=10.0,
        checks=(Check("KKT residual above the papers' way by", max(0.0, best.residual - papers.residual), 0.01 * papers.residual),),
    )
    rows = ["| training | seconds | epochs | loss | KKT residual |", "|---|---:|---:|---:|---:|"]
    rows += [f"| {w.name} | {w.seconds:.3g} | {w.epochs} | {w.loss:.3g} | {w.residual:.4f} |" for w in done]
    return Part((line,), text=f"### Ways to train, {torch.get_num_threads()} threads\n\n" + "\n".join(rows))
