"""A cell of `ntk_kkt`: the search in the span of the weights' change, on an ordinary network. Seconds beside what comes back."""

from __future__ import annotations

import math
from dataclasses import dataclass

from attacks.ntk_kkt import NtkKKT
from bench import seeds
from bench.api import Candidates, Setting
from bench.tracks.reconstruction.targets import obtain

from . import recovery
from .clock import Samples, seconds
from .line import Line, Part
from .problem import real_images


@dataclass(frozen=True)
class Size:
    """Of the target and the runs. ``dataset`` empty: CIFAR-10 where it is, else photo tiles."""

    hidden: tuple[int, ...] = (1000,)
    n_per_class: int = 10
    epochs: int = 12_000
    steps: int = NtkKKT.steps
    starts: int = 5
    dataset: str = ""


FULL = Size()
QUICK = Size(hidden=(200,), epochs=1000, steps=200, starts=2, dataset="photo_tiles")
TOY = Size(hidden=(20,), n_per_class=2, epochs=50, steps=6, starts=2, dataset="photo_tiles")


def run(size: Size) -> Part:
    """One line: whole runs, one after another."""
    dataset, display = real_images() if not size.dataset else (size.dataset, size.dataset)
    trained = {"init_scale": None, "loss": "mse", "weight_decay": 0.0, "lr": 0.01, "epochs": size.epochs}
    target = obtain([Setting(dataset=dataset, hidden=size.hidden, n_per_class=size.n_per_class, **trained)])[0]
    attack, release = NtkKKT(steps=size.steps), target.release
    times: list[float] = []
    answers: list[Candidates] = []
    for start in range(size.starts):
        generator = seeds.generator("perf initial", start)
        times.append(seconds(lambda generator=generator: answers.append(attack.reconstruct(release, generator))))
    found = [recovery.recovered(answer.images, target.secret) for answer in answers]
    net = "-".join(map(str, (math.prod(release.architecture.input_shape), *size.hidden, release.architecture.outputs)))
    line = Line(
        "ntk_cell",
        f"one run of ntk_kkt, {size.steps} steps, on {net} from PyTorch's initialisation; {release.n_train} images of {display}",
        Samples(tuple(times), "run"),
        at_most=47.0,
        note=f"members and controls above SSIM 0.4, run by run: {', '.join(f'{one.members} : {one.controls}' for one in found)}",
    )
    return Part((line,))
