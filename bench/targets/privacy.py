"""What private training promises: ε by Opacus's accountants, and the most that any attack can then find out.

A step that takes each of n images by chance q, shortens its gradient to C, and adds noise of σ·C to the sum, is the *sampled Gaussian
mechanism*; training is T of them on the same images. Neighbours are training sets with and without one image. Everything that is done to
the noisy gradients (momentum, Adam, weight decay) costs nothing more. What is taken for public: the number of images, and their mean, which
the network subtracts.

An attack that is right by a chance of κ when it sees nothing of an image is right by at most the *blow-up* B(κ) when it sees the training:
the most that P(E) can be of an event E with Q(E) ≤ κ, where Q is the outcome without the image and P that with it (Hayes, Mahloujifar and
Balle, NeurIPS 2023, theorem 2 and corollary 3: Q is N(0, σ²)ᵀ, P is N(B, σ²)ᵀ with B one or nought by chance q at each step). The same
number bounds the true positives of a membership test whose false positives are κ.
"""

from __future__ import annotations

import functools
import math
import warnings

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from bench.errors import BenchError

PRV_MOST = 5000  # ε by RDP times √T above which privacy loss is not composed: its grid would take too much time and memory
CELLS = 20  # of the grid of losses, to a standard deviation of one step's loss
REACH = 9.0  # standard deviations that are looked at; what is beyond counts as found out
LEAST = 0.05  # noise below which a sample that holds the image tells everything
SURE = 60.0  # standard deviations apart, of the outcomes with and without an image, above which an attack is never wrong


def epsilon(noise: float, rate: float, steps: int, delta: float) -> tuple[float, str]:
    """ε of so many steps at δ, and the accountant of Opacus that says so: ``prv``, or ``rdp`` where ε is so large that the former fails.

    Args:
        noise: the noise multiplier σ, above 0.
        rate: the chance of an image to be in a step; 1: full batch.

    Raises:
        BenchError: Opacus is not installed.
    """
    return _epsilon(float(noise), float(rate), int(steps), float(delta))


@functools.lru_cache(maxsize=256)
def _epsilon(noise: float, rate: float, steps: int, delta: float) -> tuple[float, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from opacus.accountants import PRVAccountant, RDPAccountant
    except ImportError as error:
        raise BenchError(
            "ε is not counted: the package opacus is not installed",
            expected="the package opacus",
            got="none",
            hint="pip install 'reconbench[dp]'",
        ) from error
    rdp, prv = RDPAccountant(), PRVAccountant()
    rdp.history, prv.history = [(noise, rate, steps)], [(noise, rate, steps)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of orders at the end of their list, and of logarithms of tails that are 0
        most = float(rdp.get_epsilon(delta))
        if most * math.sqrt(steps) <= PRV_MOST:
            return float(prv.get_epsilon(delta)), "prv"
    return most, "rdp"


def blow_up(noise: float, rate: float, steps: int, prior: float) -> float:
    """The most by which any attack is right after training, that is right by ``prior`` without; both in [0, 1].

    Full batches: Φ(Φ⁻¹(κ) + √T/σ), the ROC of two normal distributions that far apart. Poisson samples: the loss of a step is put on a grid
    so that an attack gains by it (each cell's probability, with and without the image, goes to its two ends: Doroshenko et al. PETS 2022),
    and composed by FFT; no Monte Carlo estimate, and an upper bound, tight to about 1e-3.
    """
    if noise == 0 or prior >= 1:
        return 1.0
    if prior <= 0:
        return 0.0
    if rate == 1:
        return float(ndtr(ndtri(prior) + math.sqrt(steps) / noise))
    told = 1 - (1 - rate) ** steps * (1 - prior)  # everything, once the image is in a sample; nothing before
    return told if noise < LEAST else min(told, _sampled(float(noise), float(rate), int(steps), float(prior)))


@functools.lru_cache(maxsize=256)
def _sampled(noise: float, rate: float, steps: int, prior: float) -> float:
    x = np.linspace(-REACH * noise, 1 + REACH * noise, 20_001)
    losses = _loss(x, noise, rate)
    density = np.exp(-0.5 * (x / noise) ** 2)
    moments = [_moments(losses, weight / weight.sum()) for weight in (density, density * np.exp(losses))]  # without, with
    (low, narrow), (high, wide) = moments
    if (high - low) * math.sqrt(steps) > SURE * max(narrow, wide):
        return 1.0
    h = max(min(narrow, wide), max(narrow, wide) / CELLS) / CELLS  # with little noise the loss without the image hardly varies
    first, last = math.floor(losses[0] / h) - 1, math.ceil(losses[-1] / h)
    without, beside, lost = _on_grid(noise, rate, h, first, last)
    start = math.floor((steps * low - (REACH + 1) * math.sqrt(steps) * narrow) / h) - last + first
    stop = math.ceil((steps * high + (REACH + 1) * math.sqrt(steps) * wide) / h) + last - first
    size = 1 << max(stop - start, last - first + 1).bit_length()
    shift = (steps * first - start) % size
    totals = [np.roll(np.fft.irfft(np.fft.rfft(p, size) ** steps, size), shift).clip(min=0) for p in (without, beside)]
    above = [np.cumsum(total[::-1]) for total in totals]  # by loss, the largest first
    k = int(np.searchsorted(above[0], prior))
    k = min(k, size - 1)
    before = above[0][k - 1] if k else 0.0
    share = min(1.0, max(0.0, (prior - before) / max(totals[0][::-1][k], 1e-300)))  # of the last cell, by a coin
    gained = (above[1][k - 1] if k else 0.0) + share * totals[1][::-1][k]
    return float(min(1.0, max(prior, gained + 1 - (1 - lost) ** steps)))


def _loss(x: np.ndarray, noise: float, rate: float) -> np.ndarray:
    """log of how much likelier an outcome is with the image than without."""
    return np.asarray(np.logaddexp(math.log1p(-rate), math.log(rate) + (2 * x - 1) / (2 * noise * noise)))


def _moments(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    mean = float((values * weights).sum())
    return mean, math.sqrt(float((weights * (values - mean) ** 2).sum()))


def _on_grid(noise: float, rate: float, h: float, first: int, last: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Probabilities of the losses first·h … last·h without and with the image, and that with it of losses above."""
    ends = np.arange(first, last + 1) * h
    above = np.expm1(ends) + rate  # no outcome has a loss of log(1 − q) or less
    with np.errstate(divide="ignore"):
        x = noise**2 * (np.log(above.clip(min=0)) - math.log(rate)) + 0.5
    without = _between(x / noise)
    beside = (1 - rate) * without + rate * _between((x - 1) / noise)
    lower, upper = np.exp(ends[:-1]), np.exp(ends[1:])
    up = ((beside - lower * without) / (upper - lower)).clip(0, without)
    q = np.zeros(len(ends))
    q[1:] += up
    q[:-1] += without - up
    tail = (1 - rate) * math.exp(log_ndtr(-x[-1] / noise)) + rate * math.exp(log_ndtr(-(x[-1] - 1) / noise))
    return q, q * np.exp(ends), tail


def _between(z: np.ndarray) -> np.ndarray:
    """Standard normal probability between neighbours, exact in both tails."""
    return np.where(z[:-1] > 0, ndtr(-z[:-1]) - ndtr(-z[1:]), ndtr(z[1:]) - ndtr(z[:-1]))
