"""From a span to images: independent components of several bases, with sign and contrast from the mean image, the most stable ones first.

A training image is the mean image and a vector of the span, so in the basis of both its coefficient of the mean image is exactly 1. That
gives an independent component its sign and its contrast, which independence alone leaves open.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from attacks.span.directions import Spectrum
from attacks.span.independent import components
from bench.api import Candidates

PASSES = ((1.1, "first"), (1.02, "first"), (1.02, "mixed"))  # (times the edge of the noise, features)
SAME = 0.9  # cosine from which two components are one
CONTRAST = (0.1, 0.25)  # standard deviation of a natural image's pixels around the mean image: what is outside is clamped
USUAL = 0.2  # and what it is mostly
OTHER_SIGN = 0.15  # contrast at which a component is submitted with the other sign
NONE = 1e-6  # a coefficient of the mean image below this is none: it would be an image of a million times the contrast
FLAT = 0.04  # components of less contrast are the mean image itself


@runtime_checkable
class Span(Protocol):
    """Where images are looked for."""

    def directions(self, n: int, above: float) -> Float[Tensor, "r d"]:
        """Orthonormal ones, as `attacks.span.directions.directions` gives them."""


def images(rows: Float[Tensor, "u d"] | Span, mean: Float[Tensor, "c h w"], n: int, steps: int, generator: torch.Generator) -> Candidates:
    """At most 2n images from the span of the rows, in the precision of the mean image.

    The confidence is the stability of a component: in how many of the passes it came up, 0 to 1; below 0 for those with the other sign.

    What was chosen, on the embedded data sets, CIFAR-10 and MNIST with seeds 100 to 104, by hits of members less hits of controls: the
    contrast of FastICA (against log cosh), the features (against second differences, diagonals, Laplacian, colours, pixels, and features
    divided by their local variance), the passes, and the numbers above.

    Args:
        rows: see `directions`; or a span that was found otherwise.
        mean: of the training images, or the best guess of it.
        n: training images.
        steps: of FastICA, at most.
    """
    centre = mean.double().flatten()
    spectrum = Spectrum.of(rows) if isinstance(rows, Tensor) else rows
    bases = {above: spectrum.directions(n, above) for above, _ in PASSES}
    passes = [_centred(bases[above], centre, mean.shape, features, steps, generator) for above, features in PASSES]
    kept = [found for found in passes if len(found)] or [centre.new_zeros(1, len(centre))]
    each = torch.cat(kept)
    alike = _cosines(each)
    stability = torch.stack([part.amax(1) for part in alike.split([len(found) for found in kept], dim=1)], 1).mean(1)
    single = _first_of_each(alike)
    order = single[stability[single].argsort(descending=True, stable=True)]
    contrast = _contrast(each)
    main = each[order] * (contrast[order].clamp(*CONTRAST) / contrast[order].clamp_min(1e-12))[:, None]
    doubtful = order[_oddity(contrast[order]).argsort(descending=True, stable=True)]
    other = -each[doubtful] * (OTHER_SIGN / contrast[doubtful].clamp_min(1e-12))[:, None]
    pixels = (centre + torch.cat([main, other]))[: 2 * n].reshape(-1, *mean.shape)
    confidence = torch.cat([stability[order], -1 - _oddity(contrast[doubtful]).neg().exp()])[: 2 * n]
    return Candidates(pixels.to(mean), confidence.to(mean))


def _centred(
    basis: Float[Tensor, "r d"],
    centre: Float[Tensor, " d"],
    shape: torch.Size,
    features: str,
    steps: int,
    generator: torch.Generator,
) -> Float[Tensor, "k d"]:
    """Independent components as images less the mean image, those of the likeliest contrast first."""
    basis = torch.cat([basis, centre[None]])
    found = components(basis.reshape(-1, *shape), features, steps, generator)
    of_mean = found[:, -1:]
    if bool((of_mean.abs() < NONE).all()):  # a constant mean image has no differences to tell sign and contrast by
        of_mean = _contrast(found[:, :-1] @ basis[:-1])[:, None] / USUAL
    found, of_mean = found[of_mean[:, 0] != 0], of_mean[of_mean[:, 0] != 0]
    centred = found[:, :-1] / of_mean @ basis[:-1]
    contrast = _contrast(centred)
    order = _oddity(contrast).argsort(stable=True)
    return centred[order[contrast[order] > FLAT]]


def _contrast(each: Float[Tensor, "k d"]) -> Float[Tensor, " k"]:
    """Standard deviation of the pixels; 0 where there is one pixel, or no image."""
    return each.std(1) if min(each.shape) and each.shape[1] > 1 else each.new_zeros(len(each))


def _oddity(contrast: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    return (contrast / USUAL).log().abs()


def _cosines(each: Float[Tensor, "k d"]) -> Float[Tensor, "k k"]:
    """Between the images, each less its own mean pixel, whatever their signs."""
    unit = torch.nn.functional.normalize(each - each.mean(1, keepdim=True), dim=1)
    return (unit @ unit.mT).abs()


def _first_of_each(alike: Float[Tensor, "k k"]) -> Tensor:
    """Indices of those that are not the same as an earlier one that is kept."""
    kept: list[int] = []
    for i in range(len(alike)):
        if not kept or float(alike[i, kept].max()) < SAME:
            kept.append(i)
    return torch.tensor(kept, device=alike.device)
