"""One attack step: ours, closed form, against the authors' double backward on the same candidates."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attacks.haim_kkt import HaimKKT
from attacks.kkt.gradient import kkt_gradient, prior_gradient
from attacks.kkt.subspace import row_space
from bench import seeds
from bench.tracks.reconstruction import Release

from .authors import DoubleBackward
from .clock import interleaved, seconds
from .compiled import compiled
from .floor import Floor, floor
from .line import Check, Line, Part
from .problem import Solve, away_from_the_start, release, solver, step_seconds, step_work


@dataclass(frozen=True)
class Size:
    """Of the network, the candidates and the measurement."""

    hidden: tuple[int, ...] = (1000, 1000)
    n_train: int = 500  # m = 2n candidates
    shape: tuple[int, int, int] = (3, 32, 32)
    steps: int = 4  # of ours in a sample
    repeats: int = 9
    check_steps: int = 5
    compiler: str = "inductor"  # of torch.compile


FULL = Size()
QUICK = Size(hidden=(200, 200), n_train=50, repeats=2)
TOY = Size(hidden=(12, 10), n_train=6, shape=(1, 6, 6), steps=2, repeats=2, compiler="aot_eager")


def run(size: Size) -> Part:
    """The step in all pixels, in float32 and float64, and the step in the row space, with and without rounded products."""
    plain, lines, floors = release(size.hidden, size.n_train, shape=size.shape), [], []
    low = release(size.hidden, size.n_train, rank=size.n_train, shape=size.shape)
    m, d = 2 * size.n_train, math.prod(size.shape)
    net = "-".join(map(str, (d, *size.hidden, 1)))
    single, double = HaimKKT(subspace="none"), HaimKKT(subspace="none", dtype="float64")
    rows = HaimKKT(subspace=size.n_train)
    coarse = replace(rows, dtype="bfloat16")
    solves = {
        name: alone(a, r)
        for name, a, r in (("f32", single, plain), ("f64", double, plain), ("rows", rows, low), ("rows-bf16", coarse, low))
    }
    theirs = {
        "authors": opponent(plain, double),
        "spare": opponent(plain, double, spare=True),
        "authors32": opponent(plain, double, dtype=torch.float32),
    }
    # two rounds of measurements, so that the two lines that share a baseline are next to it in time
    first = interleaved(
        size.repeats,
        **{name: (lambda t=t: seconds(t.step)) for name, t in theirs.items()},
        **{name: (lambda s=solves[name]: step_seconds(s, size.steps)) for name in ("f32", "f64")},
    )
    rival = opponent(low, double)
    second = interleaved(
        size.repeats,
        authors=lambda: seconds(rival.step),
        **{name: (lambda s=solves[name]: step_seconds(s, size.steps)) for name in ("rows", "rows-bf16")},
    )
    base = replace(first["authors"], per="step")
    kinder = (
        f"without the gradients by the weights that theirs computes and never reads: {first['spare'].median:.3g} s; "
        f"theirs in float32: {first['authors32'].median:.3g} s"
    )
    for key, dtype, at_least, attack in (("f32", torch.float32, 3.3, single), ("f64", torch.float64, 1.3, double)):
        checks = (gradient_check(plain, attack, dtype), path_check(plain, attack, size.check_steps, 1e-5 if key == "f64" else 1e-3))
        floors.append(floor(f"step, {net}, m={m}, all pixels, float{key[1:]}", step_work(solves[key]), first[key].median, dtype))
        lines.append(
            Line(
                f"step-{key}",
                f"attack step, m={m}, {net}, all pixels, float{key[1:]}, against double backward float64",
                replace(first[key], per="step"),
                base,
                at_least=at_least,
                checks=checks,
                note=kinder,
                bound=ceiling(floors[-1], base.median),
            )
        )
    drawn = (
        f"weights drawn, not trained: the rows of the first layer lie in a space of {size.n_train} dimensions, as those of a "
        "target from a small start do"
    )
    same = path_check(low, replace(rows, dtype="float64"), size.check_steps, 1e-5)
    price = "an option, not the default: on trained networks fewer images came over SSIM 0.4 so than in float32 (benchmark long_training)"
    for key, attack, dtype, words, tolerance, note in (
        ("rows", rows, torch.float32, "float32", 1e-3, drawn),
        ("rows-bf16", coarse, torch.bfloat16, "float32 with products rounded to bfloat16", 1e-2, f"{drawn}; {price}"),
    ):
        floors.append(floor(f"step, {net}, m={m}, row space {size.n_train}, {words}", step_work(solves[key]), second[key].median, dtype))
        lines.append(
            Line(
                f"step-{key}",
                f"attack step at n={size.n_train}, m={m}, {net}, row space {size.n_train}, {words}, against double backward float64 "
                "in all pixels",
                replace(second[key], per="step"),
                replace(second["authors"], per="step"),
                at_least=8.0,
                checks=(path_check(low, attack, size.check_steps, tolerance), same),
                note=note,
                bound=ceiling(floors[-1], second["authors"].median),
            )
        )
    lines.append(
        compiled(
            "step-compiled",
            f"gradient of a step, m={m}, {net}, all pixels, float32",
            away_from_the_start(plain, single, torch.float32),
            steps=size.steps,
            repeats=size.repeats,
            compiler=size.compiler,
        )
    )
    return Part(tuple(lines), tuple(floors))


def alone(attack: HaimKKT, victim: Release, runs: int = 1) -> Solve:
    """A solver of so many equal runs on one release."""
    return solver(lambda steps: [replace(attack, steps=steps)] * runs, [victim] * runs)


def start(attack: HaimKKT, victim: Release) -> tuple[Tensor, Tensor, Tensor | None]:
    """Candidates in pixels, multipliers, and the basis that they lie in, as the engine draws them for a stream named "perf start"."""
    draw = seeds.generator("perf start")
    m, d = attack.candidates_per_image * victim.n_train, math.prod(victim.architecture.input_shape)
    basis = row_space(victim.weights["layers.0.weight"], victim.n_train, attack.subspace)
    x = torch.randn(m, d if basis is None else basis.shape[1], generator=draw, dtype=torch.float64) * attack.sigma
    lam = torch.rand(m, generator=draw, dtype=torch.float64)
    x = x.to(victim.device)
    return (x if basis is None else x @ basis.to(x).mT), lam.to(x), basis


def opponent(victim: Release, attack: HaimKKT, *, dtype: torch.dtype = torch.float64, spare: bool = False) -> DoubleBackward:
    """The authors' loop in all pixels, from the start that ours draws."""
    x, lam, _ = start(attack, victim)
    return DoubleBackward(victim.weights, x, lam, attack, dtype=dtype, spare=spare)


def gradient_check(victim: Release, attack: HaimKKT, dtype: torch.dtype) -> Check:
    """Gradients of the whole objective by x and λ, away from the start, against double backward float64."""
    at = away_from_the_start(victim, attack, dtype)
    theirs = DoubleBackward(victim.weights, at.x[0].double(), at.lam[0].double(), attack)
    least = torch.full((1, 1), attack.min_lambda, dtype=dtype, device=at.x.device)
    _, kkt_x, kkt_lam = kkt_gradient(*at)
    prior_x, prior_lam = prior_gradient("binary", at.x, at.lam, least)
    assert prior_lam is not None
    differences = []
    for objective, by_x, by_lam in ((theirs.kkt(), kkt_x, kkt_lam), (theirs.prior(), prior_x, prior_lam)):
        expected_x, expected_lam = torch.autograd.grad(objective, [theirs.x, theirs.lam])
        differences += [apart(by_x[0], expected_x), apart(by_lam[0], expected_lam)]
    return Check("gradients by x and λ, relative", max(differences), 1e-9 if dtype == torch.float64 else 1e-4)


def path_check(victim: Release, attack: HaimKKT, steps: int, tolerance: float) -> Check:
    """Candidates after some steps of the whole engine (momentum, prior, row space) against the authors' loop from the same start.

    With learning rates at which they move by about a tenth of the pixel range; the difference is relative to that movement.
    """
    attack = replace(attack, sigma=0.05)
    first = opponent(victim, attack)
    by_x, by_lam = torch.autograd.grad(first.kkt() + first.prior(), [first.x, first.lam])
    attack = replace(attack, lr=0.01 / float(by_x.abs().max()), lr_lambda=0.01 / float(by_lam.abs().max()))
    theirs = opponent(victim, attack)
    for _ in range(steps):
        theirs.step()
    order = theirs.lam.detach().argsort(descending=True)  # as the engine hands them out
    expected, before = theirs.x.detach()[order], first.x.detach()[order]
    images = replace(attack, steps=steps).reconstruct(victim, seeds.generator("perf start")).images.double()
    centred = (images - victim.mean_image.double()).flatten(1) if victim.mean_image is not None else images.flatten(1)
    worst = float((centred - expected.clamp(-0.5, 0.5)).abs().max() / (expected - before).abs().max())
    where = "all pixels" if attack.subspace == "none" else "row space against all pixels"
    return Check(f"candidates after {steps} steps, {attack.dtype}, {where}, relative to their movement", worst, tolerance)


def apart(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return float((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max())


def ceiling(limit: Floor, baseline: float, runs: int = 1) -> str:
    """What bounds ours, and the ratio that would remain if ours did nothing but that; ``baseline`` is for one of the runs."""
    most = max(limit.asks.values())
    return limit.bound + (f"; were that all, the ratio would be {baseline * runs / most:.3g}×" if most else "")
