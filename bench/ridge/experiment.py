"""Ridge regression with noise on what it releases, and an informed adversary who has all records but one.

θ̂ minimises Σᵢ ½(xᵢᵀθ − yᵢ)² + ½nλ‖θ‖² over n records with ‖xᵢ‖ ≤ R and yᵢ = ±1; released is θ̃ = θ̂ + N(0, σ²I). A residual is at most
C = 1 + R²/λ, so another record in the place of one moves θ̂ by at most 2RC/(nλ), and σ² = 2R²C²/(λ²ρn²) makes the release ρ-zCDP.

* The attack (Cairney-Leeming, Bombari and Mondelli, 2026): at θ̂ the gradients sum to nought, so what the known records leave,
  F(θ̃) = Σ_known xᵢ(xᵢᵀθ̃ − yᵢ) + nλθ̃, is the missing record times −(xᵀθ̂ − y), and noise. Its direction, with the sign that the label
  gives and the norm R, is the answer; or that of its projection on the first principal directions of the known records.
* Theory: the noise in F has expected squared norm σ² Σₖ (nλ + sₖ²)², sₖ the singular values of the known records, and in many dimensions
  is orthogonal to the record. That makes the error 2 − 2/√(1 + 2(C/|r|)²·d/ρ), r the residual, as long as nλ outweighs the sₖ².
* Lower bound: the release tells at most ρ nats of the record, so by Shannon's bound no answer, by whatever attack, has an error below
  exp((2/d)(h(x') − ρ)) / 2πe, h(x') the entropy of the record scaled to a mean square of 1 a coordinate.

Errors are E‖x − x̂‖² / E‖x‖². Threshold: ρ of the order of d, whatever n and λ are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bench import seeds
from bench.api import ImageSet, Setting
from bench.data.split import largest_n_per_class, split

R = 1.0  # norm of the records at most
LAMBDA = 4.0
C = 1 + R * R / LAMBDA  # residuals at most
SYNTHETIC = (64, 256, 1024)  # dimensions of records drawn evenly from a ball, whose entropy is known
KNOWN = 40  # records a class, or fewer
TARGETS = 20  # missing records, one after another
PRINCIPAL = 10  # directions of the known records
RATIOS = tuple(10 ** (k / 4) for k in range(-8, 13))  # ρ/d


def fit(X: Float[Tensor, "n d"], y: Float[Tensor, " n"]) -> Float[Tensor, " d"]:
    """θ̂, through the n × n system."""
    n = len(X)
    system = X @ X.mT + n * LAMBDA * torch.eye(n, dtype=X.dtype)
    return X.mT @ torch.linalg.solve(system, y)


def noise_size(rho: float, n: int) -> float:
    """σ."""
    return math.sqrt(2 / rho) * R * C / (LAMBDA * n)


def left_over(X: Float[Tensor, "m d"], y: Float[Tensor, " m"], released: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """F: what the known records leave of the sum of gradients."""
    return X.mT @ (X @ released - y) + (len(X) + 1) * LAMBDA * released


def answer(direction: Float[Tensor, " d"], label: float) -> Float[Tensor, " d"]:
    """The attack's: of norm R, with the sign that the label gives."""
    return label * R * direction / direction.norm()


def theory(X: Float[Tensor, "m d"], residual: float, rho: float) -> float:
    """The attack's error, for many dimensions."""
    n, d = len(X) + 1, X.shape[1]
    inside = torch.linalg.svdvals(X).square()
    norm = float((n * LAMBDA + inside).square().sum()) + (d - len(inside)) * (n * LAMBDA) ** 2
    return 2 - 2 / math.sqrt(1 + noise_size(rho, n) ** 2 * norm / (R * residual) ** 2)


def ball_entropy(d: int) -> float:
    """h(x') of records drawn evenly from a ball, scaled to a mean square of 1 a coordinate: the ball of radius √(d + 2). In nats."""
    return d / 2 * math.log(math.pi * (d + 2)) - math.lgamma(d / 2 + 1)


def lower_bound(entropy: float, d: int, rho: float) -> float:
    """What no attack's error is below."""
    return math.exp(2 / d * (entropy - rho)) / (2 * math.pi * math.e)


def synthetic(seed: int) -> Iterator[dict[str, object]]:
    """Rows of records drawn evenly from a ball, with random labels, in several dimensions."""
    for d in SYNTHETIC:
        g = seeds.generator("ridge", "records", d, seed)
        n = 2 * KNOWN + TARGETS
        records = torch.randn(n, d, generator=g, dtype=torch.float64)
        records *= R * torch.rand(n, 1, generator=g, dtype=torch.float64) ** (1 / d) / records.norm(dim=1, keepdim=True)
        y = torch.randint(2, (n,), generator=g).double() * 2 - 1
        known = slice(2 * KNOWN)
        for row in _attacked(records[known], y[known], records[2 * KNOWN :], y[2 * KNOWN :], ("ball", d, seed)):
            yield {"part": "ball", **row}
        for ratio in RATIOS:
            yield {"part": "ball", "d": d, "rho": ratio * d, "measure": "lower bound", "value": lower_bound(ball_entropy(d), d, ratio * d)}


def of_images(images: ImageSet, seed: int) -> Iterator[dict[str, object]]:
    """Rows of a data set's binary task, its images in three sizes, less the mean of the known ones and scaled to norm R."""
    wanted = Setting(dataset=images.name, seed=seed, n_per_class=1)  # type: ignore[call-arg]
    n = max(1, min(KNOWN, largest_n_per_class(images, wanted)))
    parts = split(images, wanted.model_copy(update={"n_per_class": n}))
    half = max(1, min(TARGETS // 2, n))
    chosen = np.concatenate([np.flatnonzero(parts.control_labels == k)[:half] for k in (0, 1)])
    side = min(parts.train.shape[-2:])
    for size in dict.fromkeys((side // 4, side // 2, side)):
        train, missing, test = (_records(part, size / side) for part in (parts.train, parts.control[chosen], parts.test))
        mean = train.mean(0)
        train, missing, test = (R * F.normalize(part - mean, dim=1) for part in (train, missing, test))
        y, labels, answers = (
            torch.from_numpy(part).double() * 2 - 1 for part in (parts.train_labels, parts.control_labels[chosen], parts.test_labels)
        )
        for row in _attacked(train, y, missing, labels, (images.name, size, seed), (test, answers)):
            yield {"part": "images", **row}


def _records(images: np.ndarray, scale: float) -> Float[Tensor, "n d"]:
    x = torch.from_numpy(images).double()
    if scale < 1:
        x = F.interpolate(x, size=[max(1, round(side * scale)) for side in x.shape[-2:]], mode="area")
    return x.flatten(1)


def _attacked(
    X: Float[Tensor, "m d"],
    y: Float[Tensor, " m"],
    missing: Float[Tensor, "t d"],
    labels: Float[Tensor, " t"],
    names: tuple[object, ...],
    test: tuple[Tensor, Tensor] | None = None,
) -> Iterator[dict[str, object]]:
    """Rows of one set of known records: each missing one is trained on beside them, released at every ρ, and attacked."""
    n, d = len(X) + 1, X.shape[1]
    principal = torch.linalg.svd(X - X.mean(0), full_matrices=False)[2][:PRINCIPAL]
    draw = seeds.generator("ridge", "noise", *names)
    size = float(missing.square().sum(1).mean())
    for i, (x, label) in enumerate(zip(missing, labels.tolist(), strict=True)):
        fitted = fit(torch.cat([X, x[None]]), torch.cat([y, labels[i : i + 1]]))
        residual = abs(float(x @ fitted) - label)
        for ratio in RATIOS:
            rho = ratio * d
            released = fitted + noise_size(rho, n) * torch.randn(d, generator=draw, dtype=torch.float64)
            direction = left_over(X, y, released)
            answers = {"closed form": answer(direction, label), "principal": answer(principal.mT @ (principal @ direction), label)}
            row: dict[str, object] = {"d": d, "rho": rho, "index": i}
            for name, told in answers.items():
                yield {**row, "measure": f"error: {name}", "value": float((told - x).square().sum()) / size}
            yield {**row, "measure": "theory", "value": theory(X, residual, rho)}
            if test is not None:
                yield {**row, "measure": "accuracy", "value": float(((test[0] @ released).sign() == test[1]).double().mean())}
