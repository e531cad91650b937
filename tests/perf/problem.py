"""Networks to attack, for timing: the seconds of a step do not depend on what the weights are, so these are drawn, not trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor

from attacks.haim_kkt import HaimKKT
from attacks.kkt import engine
from attacks.kkt.objective import Kind
from bench import registry, seeds
from bench.api import Architecture
from bench.capture import WARM_UP, repeat
from bench.targets.models import bound_forward
from bench.tracks.reconstruction import Release

from .clock import seconds
from .floor import Work, work


def release(
    hidden: Sequence[int],
    n_train: int,
    rank: int | None = None,
    shape: tuple[int, int, int] = (3, 32, 32),
    device: str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> Release:
    """A network D-hidden-1 with a bias in the first layer and weights of PyTorch's default scale.

    Args:
        rank: rows of the first layer lie in a space of that many dimensions, as those of a target of ``rank`` images do; None: full.
    """
    draw = seeds.generator("perf", *hidden, n_train, rank, *shape)
    widths = [math.prod(shape), *hidden, 1]
    weights = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        weights[f"layers.{layer}.weight"] = torch.randn(fan_out, fan_in, generator=draw, dtype=torch.float64) / math.sqrt(3 * fan_in)
    if rank is not None and rank < min(widths[:2]):
        basis = torch.linalg.qr(torch.randn(widths[0], rank, generator=draw, dtype=torch.float64))[0]
        coordinates = weights["layers.0.weight"] @ basis * math.sqrt(widths[0] / rank)
        weights["layers.0.weight"] = coordinates @ basis.mT
    weights["layers.0.bias"] = torch.randn(hidden[0], generator=draw, dtype=torch.float64) / math.sqrt(3 * widths[0])
    architecture = Architecture("mlp", shape, tuple(hidden), 1, "relu", "first", "bce")
    return Release(
        architecture=architecture,
        weights={name: w.to(device, dtype) for name, w in weights.items()},
        forward=bound_forward(architecture),
        n_train=n_train,
        mean_image=torch.full(shape, 0.5, device=device, dtype=dtype),
    )


def generators(count: int) -> list[torch.Generator]:
    """One named stream a run."""
    return [seeds.generator("perf run", i) for i in range(count)]


Solve = Callable[[int], object]  # steps → runs the attack for so many steps


def solver(attacks: Callable[[int], Sequence[HaimKKT]], releases: Sequence[Release]) -> Solve:
    """``attacks(steps)`` on the releases, stacked: what a sweep does."""
    return lambda steps: HaimKKT.reconstruct_batch(list(attacks(steps)), list(releases), generators(len(releases)))


def loop_seconds(step: Callable[[], None], times: int, device: torch.device) -> float:
    """Seconds of so many steps in the engine's loop: the difference of a longer and a shorter one, each of which a GPU captures first."""
    short = seconds(lambda: repeat(step, WARM_UP + 1, device))
    return max(seconds(lambda: repeat(step, WARM_UP + 1 + times, device)) - short, 1e-9)


def step_seconds(solve: Solve, steps: int) -> float:
    """Seconds a step, of the engine's loop alone: around it an attack draws its start and decomposes the first layer, which takes longer
    than a hundred small steps and would drown them."""
    taken: list[float] = []

    def timed(step: Callable[[], None], times: int, device: torch.device, *, alone: bool = False) -> None:
        taken.append(loop_seconds(step, times, device))

    with patch.object(engine, "repeat", timed):
        solve(steps)
    return sum(taken) / steps


def step_work(solve: Solve, steps: int = 2) -> Work:
    """What a step asks of the machine, by the same difference."""
    return (work(lambda: solve(1 + steps)) - work(lambda: solve(1))) / steps


class Arguments(NamedTuple):
    """Of `kkt_gradient`, in its order."""

    kind: Kind
    activation: str
    weights: dict[str, Tensor]
    x: Tensor
    lam: Tensor
    labels: Tensor
    alpha: Tensor


def away_from_the_start(victim: Release, attack: HaimKKT, dtype: torch.dtype, runs: int = 1) -> Arguments:
    """A stack of equal runs at candidates drawn far from where attacks start, pixels beyond ±1 included."""
    draw, device = seeds.generator("perf check"), victim.device
    m, d = attack.candidates_per_image * victim.n_train, math.prod(victim.architecture.input_shape)
    x = 0.7 * torch.randn(m, d, generator=draw, dtype=torch.float64)
    lam = torch.rand(m, generator=draw, dtype=torch.float64)

    def stacked(value: Tensor) -> Tensor:
        return value.to(device).expand(runs, *value.shape).contiguous()

    return Arguments(
        attack.kind,
        victim.architecture.activation,
        {name: stacked((w[None] if name.endswith("bias") else w).to(dtype)) for name, w in victim.weights.items()},
        stacked(x.to(dtype)),
        stacked(lam.to(dtype)),
        stacked((torch.arange(m) * 2) // m),
        torch.full((runs, 1, 1), attack.alpha, dtype=dtype, device=device),
    )


def real_images() -> tuple[str, str]:
    """Data set for the runs whose score counts, and what the page calls it: CIFAR-10 where it is, else the embedded tiles."""
    name = "photo_tiles" if registry.resolve_data("cifar10").missing() else "cifar10"
    return name, str(registry.resolve_data(name).load().display)
