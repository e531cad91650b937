"""The same code on a card: 32 stacked runs against the authors' loop there, and a sweep of 64 runs at the papers' scale.

Without a card the lines say so. ``Size.device`` can name the CPU, which is how the tests take this path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from attacks.haim_kkt import HaimKKT
from attacks.kkt.rounding import products
from bench.capture import WARM_UP
from bench.targets import one_missing

from .child import call
from .clock import Samples, interleaved, seconds
from .compiled import compiled
from .floor import floor
from .line import Check, Line, Part
from .problem import away_from_the_start, release, step_seconds, step_work
from .shadows import asked, released
from .steps import alone, ceiling, gradient_check, opponent, path_check
from .training import apart

COMMAND = "make perf-gpu"  # python -m tests.perf --only gpu --page perf_gpu


@dataclass(frozen=True)
class Size:
    """Of the network, the stacks and the measurement."""

    hidden: tuple[int, ...] = (1000, 1000)
    n_train: int = 500
    shape: tuple[int, int, int] = (3, 32, 32)
    stack: int = 32
    sweep: int = 64
    sweep_steps: int = 50_000
    steps: int = 50  # in a sample
    repeats: int = 5
    compiler: str = "inductor"  # of torch.compile
    shadows: int = 60_000
    dataset: str = ""  # of the shadows; empty: MNIST where it is here
    n_per_class: int = 20  # of them
    device: str = ""  # empty: the card, if there is one


FULL = Size()
QUICK = Size(hidden=(200, 200), n_train=50, steps=20, repeats=2, shadows=6000)
TOY = Size(
    hidden=(12, 10), n_train=6, shape=(1, 6, 6), stack=3, sweep=4, sweep_steps=20, steps=2, repeats=2, compiler="aot_eager", device="cpu",
    shadows=30, dataset="photo_tiles", n_per_class=4,
)  # fmt: skip


def run(size: Size) -> Part:
    """Lines for the step and for the sweep."""
    device = size.device or ("cuda" if torch.cuda.is_available() else "")
    net = "-".join(map(str, (math.prod(size.shape), *size.hidden, 1)))
    m = 2 * size.n_train
    per_step = f"attack step on a GPU, m={m}, {net}, all pixels, {size.stack} runs stacked, per run, against double backward float64 there"
    whole = f"sweep of {size.sweep} runs on a GPU at n={size.n_train}, m={m}, {net}, row space, {size.sweep_steps} steps"
    if not device:
        absent = f"no CUDA device here; where there is one: `{COMMAND}`"
        return Part(
            (
                Line("gpu-step", per_step, None, at_least=15.0, note=absent),
                Line("gpu-sweep", whole, None, at_most=600.0, note=absent),
                Line("gpu-shadows", f"{size.shadows} shadow networks on a GPU", None, at_most=120.0, note=absent),
            )
        )
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    lines, floors = [], []
    with products(torch.device(device)):
        plain = release(size.hidden, size.n_train, shape=size.shape, device=device)
        pixels = HaimKKT(subspace="none")
        rival, stacked = opponent(plain, pixels), alone(pixels, plain, size.stack)
        times = interleaved(size.repeats, theirs=lambda: seconds(rival.step), ours=lambda: step_seconds(stacked, size.steps) / size.stack)
        floors.append(
            floor(
                f"{size.stack} steps stacked, {net}, m={m}, all pixels, on {name}",
                step_work(stacked), times["ours"].median * size.stack, torch.float32, device,
            )
        )  # fmt: skip
        base = replace(times["theirs"], per="step")
        share = f"{floors[-1].share:.0%} of the matmul rate measured on {name}, TF32 allowed"
        lines.append(
            Line(
                "gpu-step", per_step, replace(times["ours"], per="step"), base, at_least=15.0, note=share,
                checks=(gradient_check(plain, pixels, torch.float64), path_check(plain, pixels, 5, 2e-2)),
                bound=ceiling(floors[-1], base.median * size.stack),
            )
        )  # fmt: skip
        at = away_from_the_start(plain, pixels, torch.float32, size.stack)
        what = f"gradient of a step on a GPU, m={m}, {net}, all pixels, {size.stack} runs stacked, a captured graph"
        lines.append(compiled("gpu-compiled", what, at, steps=size.steps, repeats=size.repeats, compiler=size.compiler))
        low = release(size.hidden, size.n_train, rank=size.n_train, shape=size.shape, device=device)
        rows = HaimKKT(subspace=size.n_train)
        sweep = alone(rows, low, size.sweep)
        each = []
        for i in range(size.repeats + 1):
            setup = seconds(lambda: sweep(WARM_UP + 1))  # the capture included
            spent = setup + step_seconds(sweep, size.steps) * (size.sweep_steps - WARM_UP - 1)
            if i:
                each.append(spent)
        total = Samples(tuple(each), "sweep", f"{size.steps} steps timed and scaled, set-up included once")
        floors.append(
            floor(
                f"{size.sweep} steps stacked, {net}, m={m}, row space, on {name}",
                step_work(sweep), total.median / size.sweep_steps, torch.float32, device,
            )
        )  # fmt: skip
        lines.append(
            Line(
                "gpu-sweep", whole, total, at_most=600.0, checks=(path_check(low, rows, 5, 2e-2),), bound=floors[-1].bound,
                note=f"{floors[-1].share:.0%} of the matmul rate measured on {name}, TF32 allowed",
            )
        )  # fmt: skip
    lines.append(shadows(size, device, name))
    if device == "cuda":
        lines.append(memory(size, m, net, name))
    return Part(tuple(lines), tuple(floors))


def shadows(size: Size, device: str, name: str) -> Line:
    """Trained in one call, as the informed adversary does; where there are fewer images than shadows, several of an image."""
    release, known = released(asked(size.dataset, size.n_per_class, 10)[0])
    chosen = torch.arange(size.shadows) % len(release.shadow_images)
    images, labels = release.shadow_images[chosen], release.shadow_labels[chosen]
    seconds(lambda: one_missing.train(known, images[:100], labels[:100], device))  # warms up: what is captured and chosen once
    times = [seconds(lambda: one_missing.train(known, images, labels, device)) for _ in range(min(size.repeats, 2))]  # a minute each
    here, there = (one_missing.expand(known, one_missing.train(known, images[:8], labels[:8], on), images[:8]) for on in ("cpu", device))
    what = f"{size.shadows} shadow networks on a GPU, {len(known.images)} known images and one of their own, {known.epochs} epochs, float32"
    return Line(
        "gpu-shadows", what, Samples(tuple(times), "set of shadows"), at_most=120.0, note=f"on {name}",
        checks=(Check("weights against the CPU's, relative", apart(there, here), 1e-2),),
    )  # fmt: skip


def memory(size: Size, m: int, net: str, name: str) -> Line:
    """Peak of the allocator for a stack of ten less that for two, by run, each in a process of its own."""
    shape = {"hidden": list(size.hidden), "n_train": size.n_train, "subspace": size.n_train, "device": "cuda"}
    peaks = [call("memory", "peak", runs=runs, **shape).answer for runs in (2, 10)]
    what = f"memory of one more run in a stack on a GPU, m={m}, {net}, row space, float32"
    return Line("gpu-memory", what, Samples(((peaks[1] - peaks[0]) / 8,), "run"), unit="B", note=f"PyTorch's peak allocation on {name}")
