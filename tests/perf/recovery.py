"""Whole runs whose score counts: one run and a stacked sweep of 32, against the authors' loop for the same number of steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from attacks.haim_kkt import HaimKKT
from bench import seeds
from bench.api import Candidates, Secret, Setting, Target
from bench.metrics.match import one_to_one
from bench.metrics.ssim import ssim_matrix
from bench.tracks.reconstruction import Release
from bench.tracks.reconstruction.targets import obtain

from .authors import DoubleBackward
from .clock import Samples, seconds
from .floor import floor
from .line import Check, Line, Part
from .problem import generators, real_images, solver, step_work
from .steps import ceiling

HIT = 0.4  # SSIM above which an image counts as recovered


@dataclass(frozen=True)
class Size:
    """Of the target, the runs and the measurement. ``dataset`` empty: CIFAR-10 where it is, else photo tiles."""

    hidden: tuple[int, ...] = (500,)
    n_per_class: int = 10
    epochs: int = 12_000
    steps: int = 1500
    chunks: int = 10  # an authors' run is timed in so many parts
    their_starts: int = 3  # runs of the authors' loop, each from a start of its own
    starts: int = 9  # runs of ours
    stack: int = 32
    repeats: int = 5
    dataset: str = ""


FULL = Size()
QUICK = Size(epochs=3000, steps=100, chunks=4, their_starts=2, starts=3, stack=8, repeats=2, dataset="photo_tiles")
TOY = Size(hidden=(20,), n_per_class=2, epochs=50, steps=6, chunks=2, their_starts=2, starts=2, stack=3, repeats=2, dataset="photo_tiles")


def run(size: Size) -> Part:
    """Lines for the single run and for the sweep."""
    dataset, display = real_images() if not size.dataset else (size.dataset, size.dataset)
    target = obtain([setting(dataset, size)])[0]
    attack = HaimKKT(steps=size.steps)
    n, net = target.release.n_train, "-".join(map(str, (math.prod(target.release.architecture.input_shape), *size.hidden, 1)))

    sweep = [replace(attack, **draw(i)) for i in range(size.stack)]
    stacked = solver(lambda steps: [replace(a, steps=steps) for a in sweep], [target.release] * size.stack)

    # the authors' loop from each start to the end; in between, whole runs and whole sweeps of ours
    theirs = [full_pixel_run(target.release, attack, start) for start in range(size.their_starts)]
    chunk, whole = max(1, size.steps // size.chunks), size.steps * size.their_starts
    slow: list[float] = []
    fast: list[float] = []
    swept: list[float] = []
    answers: list[Candidates] = []
    attack.reconstruct_batch([replace(attack, steps=2)], [target.release], generators(1))  # warm-up
    stacked(2)
    done = 0
    while done < whole:
        one, at = theirs[done // size.steps], done % size.steps
        part = min(chunk, size.steps - at)
        slow.append(seconds(lambda one=one, part=part: [one.step() for _ in range(part)]) / part)
        done += part
        if len(fast) < size.starts * done / whole:
            stream = seeds.generator("perf recovery", len(fast))
            fast.append(seconds(lambda stream=stream: answers.append(attack.reconstruct(target.release, stream))))
        if len(swept) < size.repeats * done / whole:
            swept.append(seconds(lambda: stacked(size.steps)) / size.stack)
    how = f"{size.their_starts} whole runs of {size.steps} steps, timed in {len(slow)} parts"
    base = Samples(tuple(s * size.steps for s in slow), "run", how)
    ours = Samples(tuple(fast), "run")

    mean = target.release.mean_image
    assert mean is not None
    images = [(one.x.detach().reshape(-1, *mean.shape).float() + mean.float()).clamp(0, 1) for one in theirs]
    expected, found = ([recovered(i, target.secret) for i in some] for some in (images, [a.images for a in answers]))
    theirs_ssim, ours_ssim = (float(np.mean([f.ssim for f in some])) for some in (expected, found))
    same = Check("mean SSIM, over the starts, below the authors' by", max(0.0, theirs_ssim - ours_ssim), 0.03)
    solve = solver(lambda steps: [replace(attack, steps=steps)], [target.release])
    limit = floor(f"one run, {net}, m={2 * n}, row space", step_work(solve, size.steps - 1), ours.median / size.steps, torch.float32)
    where = f"{n} images of {display}, target {net}, {size.epochs} epochs, {size.steps} steps"
    lines = [
        Line(
            "run",
            f"one haim_kkt run on {where}: float32 in the row space against the authors' loop, float64 in all pixels",
            ours,
            base,
            at_least=25.0,
            checks=(same,),
            note=f"recovered (SSIM > {HIT}; members / controls of {n}; mean SSIM) from {len(expected)} starts by the authors' loop "
            f"{'; '.join(map(str, expected))}: mean SSIM {theirs_ssim:.3f}; from {len(found)} by ours {'; '.join(map(str, found))}: mean "
            f"SSIM {ours_ssim:.3f}",
            bound=ceiling(limit, base.median / size.steps),
        )
    ]

    per_run = Samples(tuple(swept), "run", "whole sweeps")
    limit_stack = floor(
        f"sweep of {size.stack}, {net}, m={2 * n}, row space",
        step_work(stacked, size.steps - 1),
        per_run.median * size.stack / size.steps,
        torch.float32,
    )
    lines.append(
        Line(
            "sweep",
            f"the same inside a stacked sweep of {size.stack} runs with hyperparameters of their own, per run",
            per_run,
            base,
            at_least=150.0,
            checks=(stack_check(sweep, target.release),),
            bound=ceiling(limit_stack, base.median / size.steps, size.stack),
        )
    )
    return Part(tuple(lines), (limit, limit_stack))


def setting(dataset: str, size: Size, seed: int = 0) -> Setting:
    """The small target that the attack works on: first layer 1e-4, gradient descent at 0.02, weight decay 0.003."""
    return Setting(
        dataset=dataset, n_per_class=size.n_per_class, hidden=size.hidden, epochs=size.epochs, lr=0.02, weight_decay=0.003,
        init_scale=1e-4, seed=seed,
    )  # fmt: skip


@dataclass(frozen=True)
class Recovered:
    """How many images came back, one candidate an image."""

    members: int
    controls: int
    ssim: float  # mean over members

    def __str__(self) -> str:
        return f"{self.members} / {self.controls}, {self.ssim:.3f}"


def recovered(images: Tensor, secret: Secret) -> Recovered:
    """Hits among members and among controls with candidates paired one to one, as protocol v1 pairs them."""

    def paired(truth: Tensor) -> Tensor:
        similarity = ssim_matrix(truth, images.to(truth))
        partner = one_to_one(1 - similarity)
        return similarity[torch.arange(len(truth)), partner]

    members, controls = paired(secret.members), paired(secret.controls)
    return Recovered(int((members > HIT).sum()), int((controls > HIT).sum()), float(members.mean()))


def full_pixel_run(victim: Release, attack: HaimKKT, start: int = 0) -> DoubleBackward:
    """The authors' loop from one of the authors' starts: every pixel drawn."""
    draw_ = seeds.generator("perf recovery", "authors", *([start] if start else []))
    m = attack.candidates_per_image * victim.n_train
    x = torch.randn(m, math.prod(victim.architecture.input_shape), generator=draw_, dtype=torch.float64) * attack.sigma
    return DoubleBackward(victim.weights, x, torch.rand(m, generator=draw_, dtype=torch.float64), attack)


def draw(run_: int) -> dict[str, float]:
    """Hyperparameters of one run of the sweep: σ, λ_min and α over the papers' ranges, learning rate log-U[0.05, 1]."""
    rng = seeds.numpy_generator("perf sweep", run_)
    return {
        "sigma": float(10 ** rng.uniform(-6, -1)),
        "lr": float(10 ** rng.uniform(math.log10(0.05), 0)),
        "min_lambda": float(rng.uniform(0.01, 0.5)),
        "alpha": float(rng.uniform(10, 500)),
    }


def stack_check(sweep: list[HaimKKT], victim: Release, steps: int = 20) -> Check:
    """Losses of the first and last run in a stack against the same runs alone, float64."""
    attacks = [replace(a, steps=steps, dtype="float64") for a in (sweep[0], sweep[-1])]
    together = HaimKKT.reconstruct_batch(attacks, [victim] * 2, generators(2))
    worst = 0.0
    for attack, answer, stream in zip(attacks, together, generators(2), strict=True):
        alone = attack.reconstruct(victim, stream).loss
        worst = max(worst, math.inf if alone is None or answer.loss is None else abs(alone - answer.loss) / abs(alone))
    return Check(f"L_KKT of stacked runs against single ones after {steps} steps, float64, relative", worst, 1e-8)


def targets(dataset: str, size: Size, count: int) -> list[Target]:
    """Several such targets, of seeds of their own, trained in one stack."""
    return obtain([setting(dataset, size, seed) for seed in range(count)])
