"""Scores of all pairs: one tensor program each, against scikit-image and NumPy called pair by pair."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bench import seeds
from bench.metrics import lpips
from bench.metrics.ncc import ncc_matrix
from bench.metrics.ssim import MAX_BYTES, ssim_matrix, ssim_pairs

from . import skimage_loop
from .clock import interleaved, seconds
from .line import Check, Line, Part


@dataclass(frozen=True)
class Size:
    """How many images against how many, and how many pairs of the loop are timed."""

    rows: int = 1000
    columns: int = 500
    shape: tuple[int, int, int] = (3, 32, 32)
    pairs: int = 200
    repeats: int = 5
    cells: int = 32  # of so many images each, scored at once
    images: int = 20


FULL = Size()
QUICK = Size(rows=100, columns=50, pairs=40, repeats=2, cells=8)
TOY = Size(rows=6, columns=5, shape=(1, 16, 16), pairs=10, repeats=2, cells=3, images=4)


def run(size: Size) -> Part:
    """The line for the Gaussian window, scikit-image's own definition, and stated ones for the other scores."""
    draw = seeds.numpy_generator("perf ssim")
    # smooth images, as natural ones are, half of the columns near to a row so that all values of SSIM occur
    a = smooth(draw.random((size.rows, *size.shape), dtype=np.float32))
    b = smooth(draw.random((size.columns, *size.shape), dtype=np.float32))
    near = min(size.columns // 2, size.rows)
    b[:near] = np.clip(a[:near] + 0.1 * (b[:near] - 0.5), 0, 1)
    every = size.rows * size.columns
    pairs = [(i, i) for i in range(min(near, size.pairs // 2))]
    others = size.pairs - len(pairs)
    i, j = draw.integers(0, size.rows, others).tolist(), draw.integers(0, size.columns, others).tolist()
    pairs += list(zip(i, j, strict=True))
    ours, theirs = torch.from_numpy(a), (a.astype(np.float64), b.astype(np.float64))
    other = torch.from_numpy(b)
    times = interleaved(
        size.repeats,
        loop=lambda: seconds(lambda: skimage_loop.ssim(*theirs, pairs)),
        ours=lambda: seconds(lambda: ssim_matrix(ours, other)),
    )
    matrix = ssim_matrix(ours, other).numpy()
    expected = skimage_loop.ssim(*theirs, pairs)
    worst = float(np.abs(np.array([matrix[i, j] for i, j in pairs]) - expected).max())
    line = Line(
        "ssim",
        f"SSIM of all pairs, {size.rows} × {size.columns} images of {'×'.join(map(str, size.shape))}, against a loop of scikit-image",
        replace(times["ours"], per="matrix"),
        times["loop"].times(every / len(pairs), "matrix", f"{len(pairs)} pairs timed and scaled to {every}"),
        at_least=100.0,
        at_most=4.0,
        checks=(Check(f"SSIM of {len(pairs)} pairs from {expected.min():.2f} to {expected.max():.2f}, absolute", worst, 1e-4),),
    )
    return Part((line, *_others(ours, other, size), _stacked(size)))


def _others(a: Tensor, b: Tensor, size: Size) -> list[Line]:
    """The other scores of all pairs, or of as many pairs as there are columns, stated; each within its bound of memory."""
    shape = f"{len(a)} × {len(b)} images"
    some = a[torch.arange(len(b)) % len(a)]
    times = interleaved(
        size.repeats,
        w3=lambda: seconds(lambda: ssim_matrix(a, b, "w3")),
        ncc=lambda: seconds(lambda: ncc_matrix(a, b)),
        corrcoef=lambda: seconds(lambda: [_correlation(a[0], b[j % len(b)]) for j in range(size.pairs)]),
        lpips=lambda: seconds(lambda: lpips.lpips_pairs(some, b)),
    )
    got = ncc_matrix(a[:1], b)[0]
    worst = max(abs(float(got[j]) - _correlation(a[0], b[j])) for j in range(len(b)))
    loop = times["corrcoef"].times(len(a) * len(b) / size.pairs, "matrix", f"{size.pairs} pairs timed and scaled to {len(a) * len(b)}")
    missing = lpips.unavailable()
    return [
        Line(
            "ssim-w3",
            f"the same by the papers' window of 3 × 3, {shape}",
            replace(times["w3"], per="matrix"),
            note=f"intermediate results of both windows take {MAX_BYTES // 2**20} MiB at most",
        ),
        Line(
            "ncc",
            f"NCC of all pairs, {shape}, against a loop of numpy.corrcoef",
            replace(times["ncc"], per="matrix"),
            loop,
            checks=(Check(f"NCC of {len(b)} pairs, absolute", worst, 1e-5),),
        ),
        Line(
            "lpips",
            f"LPIPS of {len(b)} pairs",
            None if missing else replace(times["lpips"], per="set of pairs"),
            note=missing or f"{lpips.BATCH} pairs in memory at once",
        ),
    ]


def _stacked(size: Size) -> Line:
    """Pairs of many cells scored at once beside cell by cell: what stacking would spare, for which finished cells would have to wait."""
    draw = seeds.numpy_generator("perf stacked scores")
    shape = (size.cells, size.images, *size.shape)
    a, b = (torch.from_numpy(draw.random(shape, dtype=np.float32)) for _ in range(2))

    def scores(a: Tensor, b: Tensor) -> Tensor:
        perceptual = lpips.lpips_pairs(a, b)
        return torch.stack([ssim_pairs(a, b, "w3"), *([] if perceptual is None else [perceptual])])

    times = interleaved(
        size.repeats,
        stacked=lambda: seconds(lambda: scores(a.flatten(0, 1), b.flatten(0, 1))),
        single=lambda: seconds(lambda: [scores(x, y) for x, y in zip(a, b, strict=True)]),
    )
    single = torch.cat([scores(x, y) for x, y in zip(a, b, strict=True)], 1)
    worst = float((scores(a.flatten(0, 1), b.flatten(0, 1)) - single).abs().max())
    return Line(
        "score-stacked",
        f"LPIPS and SSIM (3 × 3) of {size.cells} cells' {size.images} pairs, all cells at once against cell by cell",
        replace(times["stacked"], per="set of cells"),
        replace(times["single"], per="set of cells"),
        checks=(Check("scores, absolute", worst, 1e-5),),
        note="the engine scores cell by cell: each is a row as soon as it can be, and an interruption loses one at most; the difference is "
        "what that costs",
    )


def _correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's correlation of the pixels, mean over channels."""
    return float(np.mean([np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a.double().numpy(), b.double().numpy(), strict=True)]))


def smooth(images: np.ndarray) -> np.ndarray:
    """Blurs by two passes of a 3 × 3 mean that wraps around."""
    for _ in range(2):
        for axis in (-1, -2):
            images = (images + np.roll(images, 1, axis) + np.roll(images, -1, axis)) / 3
    return images.astype(np.float32)
