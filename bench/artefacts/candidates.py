"""Reconstructions that somebody brings, as candidates: images in [0, 1] where they were meant to be, best first as the file has them.

The authors of the KKT attacks save what they optimise (``…_x.pth``): centred images, m × c × h × w, without the mean of the training images
that their networks subtract. So the mean is added back, unless the file holds images already.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from bench.api import Candidates
from bench.artefacts.images import as_images, check_range, read_images
from bench.artefacts.tensors import dense, load
from bench.errors import BenchError
from bench.metrics.ncc import min_max
from bench.regular import path_of

BELOW, SHARE = -0.01, 0.05  # more than so large a share of the values below that: centred
# On another scale, such as 0 to 255: a value above 2 and none below 0; or in more than half of the images more than a tenth of the pixels
# beyond ±2. Of images centred or not, and of candidates that wander off as those of an optimiser do, fewer are.
BEYOND, LOUD = 2.0, 0.1


def read_candidates(
    paths: Sequence[Path | str], truth: Float[Tensor, "n c h w"], *, add_mean: str = "auto", rescale: bool = False
) -> tuple[list[Candidates], list[str]]:
    """One answer a file, best first, and what was done to it in words.

    Args:
        truth: the members, whose shape counts and whose mean is the one that is added.
        add_mean: ``auto`` (told by the range), ``members``, ``none``, or a file with one image.
        rescale: scale each image by its own extremes to [0, 1], after the mean has been added.

    Raises:
        BenchError: a file cannot be read, its images have another shape than the members, or its numbers another scale.
    """
    shape = (int(truth.shape[1]), int(truth.shape[2]), int(truth.shape[3]))
    answers: list[Candidates] = []
    notes: list[str] = []
    for path in paths:
        name = Path(path).name
        pictures = read_images(path, shape)
        images = pictures.images
        notes += pictures.notes
        if tuple(images.shape[1:]) != shape:
            raise BenchError(
                f"the images of {path} have another shape than the members",
                expected="×".join(map(str, shape)),
                got="×".join(map(str, images.shape[1:])),
            )
        if not rescale:
            _check_scale(images, path)
        share = float((images < BELOW).float().mean())
        chosen = add_mean
        if chosen == "auto":
            chosen = "members" if share > SHARE else "none"
            told = "centred, the members' mean is added" if chosen == "members" else "images, no mean is added"
            notes.append(f"{name}: {share:.0%} of the values are below {BELOW}: {told} (--add-mean to choose)")
        if chosen == "members":
            images = images + truth.mean(0)
        elif chosen != "none":
            images = images + read_mean(chosen, shape)
        if rescale:
            images = min_max(images)
        outside = float(((images < 0) | (images > 1)).float().mean())
        if outside > 0:
            notes.append(f"{name}: {outside:.1%} of the values lie outside [0, 1] and are clipped, except for the papers' own protocol")
        confidence = pictures.confidence
        if confidence is not None:
            order = torch.sort(confidence, descending=True, stable=True).indices
            images, confidence = images[order], confidence[order]
        answers.append(Candidates(images, confidence))
    return answers, notes


def read_mean(path: Path | str, shape: tuple[int, int, int]) -> Float[Tensor, "c h w"]:
    """One image from a file or a folder with one picture: the mean that the network subtracts.

    Raises:
        BenchError: another number of images, another shape, or values outside [0, 1].
    """
    where = path_of(path)
    value = None if where.is_dir() else load(where)
    if isinstance(value, Tensor) and tuple(value.shape) == shape:
        images = as_images(dense(value, str(path))[None], where, shape, [])
    else:
        images = read_images(where, shape).images
    if len(images) != 1 or tuple(images.shape[1:]) != shape:
        raise BenchError(
            f"{path} is no mean image", expected=f"one image of {'×'.join(map(str, shape))}", got=f"shape {tuple(images.shape)}"
        )
    check_range(images, str(path))
    return images[0]


def _check_scale(images: Float[Tensor, "m c h w"], path: Path | str) -> None:
    low, high = float(images.min()), float(images.max())
    beyond = (images.abs() > BEYOND).flatten(1).float().mean(1)
    if (low >= 0 and high > BEYOND) or float((beyond > LOUD).float().mean()) > 0.5:
        raise BenchError(
            f"the numbers of {path} are on another scale than images in [0, 1]",
            expected="images in [0, 1], or centred ones, give or take; or pixels of 8 bits as whole numbers",
            got=f"{low:.3g} to {high:.3g}",
            hint="divide by 255; --rescale scales each image by its own extremes",
        )
