"""Normalised cross-correlation, and the scoring of Haim et al. 2022 that picks neighbours by it.

NCC here is Pearson's correlation of the pixels of one channel, averaged over channels. A channel without contrast correlates with nothing:
its NCC is 0.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.api import Metric
from bench.errors import BenchError
from bench.metrics.ssim import ssim_pairs, working
from bench.precision import pinned
from bench.registry import register

FLAT = 1e-6  # standard deviation (of pixels in [0, 1]) below which a channel counts as constant; 8-bit images are far above it
VOTE_WITHIN = 1.1  # neighbours nearer than this multiple of the nearest distance are averaged by vote "mean"


@register
class Ncc(Metric):
    """Normalised cross-correlation."""

    name: ClassVar[str] = "ncc"
    label: ClassVar[str] = "NCC"
    range: ClassVar[tuple[float, float | None]] = (-1.0, 1.0)
    better: ClassVar[str] = "higher"

    def pairs(self, a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """See `ncc_pairs`."""
        return ncc_pairs(a, b)


@pinned()
def ncc_matrix(a: Float[Tensor, "m c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, "m n"]:
    """NCC of every image of ``a`` with every image of ``b``, in [-1, 1]. Images of any scale and offset."""
    work = working(a, b)
    return (_unit_channels(a.to(work)) @ _unit_channels(b.to(work)).T / a.shape[1]).clamp(-1, 1)


def ncc_pairs(a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
    """NCC of ``a[i]`` with ``b[i]``, in [-1, 1]."""
    work = working(a, b)
    return ((_unit_channels(a.to(work)) * _unit_channels(b.to(work))).sum(1) / a.shape[1]).clamp(-1, 1)


def ncc_distance(a: Float[Tensor, "m c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, "m n"]:
    """Haim et al.'s distance: mean squared difference of images whose channels have mean 0 and sample variance 1; in [0, 4).

    It is 2 (1 − 1/hw) (1 − NCC), so that it orders neighbours as NCC does.
    """
    pixels = a.shape[2] * a.shape[3]
    return 2 * (1 - 1 / pixels) * (1 - ncc_matrix(a, b))


class Haim2022(NamedTuple):
    """The papers' score of each true image."""

    neighbour: Int[Tensor, " m"]  # the nearest candidate; many images may share one
    distance: Float[Tensor, " m"]  # to it, at the resolution of the search
    image: Float[Tensor, "m c h w"]  # what is scored: the candidate (or vote) plus mean, scaled to [0, 1]
    ssim: Float[Tensor, " m"]  # window 3


@pinned()
def haim2022(
    truth: Float[Tensor, "m c h w"],
    candidates: Float[Tensor, "n c h w"],
    mean: Float[Tensor, "c h w"],
    *,
    half_resolution: bool = True,
    vote: Literal["min", "mean"] = "min",
) -> Haim2022:
    """Nearest neighbour by NCC, min–max scaling of each image, SSIM with window 3 (Haim et al., NeurIPS 2022, section 5 and code).

    Args:
        truth: true images in [0, 1].
        candidates: as the attack optimises them: centred, so that candidate + ``mean`` is an image; any scale.
        mean: what was subtracted from the network's inputs.
        half_resolution: search at half resolution (bicubic, no antialiasing), as the authors report; else at full resolution.
        vote: "min" scores the nearest candidate, "mean" the average of all nearer than 1.1 times the nearest distance.

    Raises:
        BenchError: there are no candidates.
    """
    if len(candidates) == 0:
        raise BenchError("no candidates to score", expected="at least one image")
    dtype = working(truth, candidates)
    truth, candidates, mean = truth.to(dtype), candidates.to(dtype), mean.to(dtype)
    distances = ncc_distance(_halve(truth - mean), _halve(candidates)) if half_resolution else ncc_distance(truth - mean, candidates)
    distance, index = distances.min(1)
    chosen = candidates[index]
    if vote == "mean":
        near: Bool[Tensor, "m n"] = distances < VOTE_WITHIN * distance[:, None]
        near[torch.arange(len(truth), device=near.device), index] = True  # the nearest itself, also at distance 0
        share = near.to(dtype) / near.sum(1, keepdim=True)
        chosen = (share @ candidates.flatten(1)).view_as(chosen)
    image = min_max(chosen + mean)
    return Haim2022(index, distance, image, ssim_pairs(image, truth, window="w3"))


def min_max(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Each image scaled by its own extremes (over all channels) to [0, 1]; an image without contrast becomes 0."""
    low = images.amin((1, 2, 3), keepdim=True)
    span = images.amax((1, 2, 3), keepdim=True) - low
    return (images - low) / span.clamp_min(torch.finfo(images.dtype).tiny)


def _halve(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    return F.interpolate(images, scale_factor=0.5, mode="bicubic")


def _unit_channels(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n chw"]:
    """Channels less their mean, of length 1 (0 where there is no contrast), flattened."""
    channels = images.flatten(2)
    centred = channels - channels.mean(2, keepdim=True)
    length = centred.norm(dim=2, keepdim=True)
    flat = length <= FLAT * channels.shape[2] ** 0.5
    return torch.where(flat, torch.zeros((), dtype=centred.dtype, device=centred.device), centred / length).flatten(1)
