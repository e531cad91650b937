"""From the span of the first dense layer over features to images: independent components of the maps, inverted through the layers below.

Where that layer moves in the span of its inputs, these are the features of the training images. Differences of neighbours in a map are
sparse and nearly independent from image to image, as those of pixels are, so the same components are sought. Features behind a ReLU are not
negative, which gives a component its sign. Its length stays open: an image is sought whose features point where it does.

What was chosen, on networks of plain PyTorch over 20 images of photo_tiles and lfw_faces with seeds 100 and 101, by hits of members less
hits of controls: the differences (against components that are not negative, Plumbley 2003, which find 0 to 2 of 20 features where these
find 10, and against the numbers themselves), the passes, and the weight of the prior (0.15 to 0.6: within two hits of each other). What was
tried and left out: images whose features lie in the span, each for itself (few) or fitted together (they walk away from the truth, for the
layers below have moved), features less those of the mean image, features without what is negative in a component.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from attacks.span.below import Below
from attacks.span.directions import Spectrum
from attacks.span.independent import components
from attacks.span.inversion import inverted
from bench.api import Candidates

PASSES = ((1.0, "first"), (0.75, "first"), (1.0, "mixed"))  # (share of the directions, features)
ABOVE = 1.02  # times the edge of the noise
SAME = 0.95  # cosine from which two components are one
LR, SMOOTH, START = 0.03, 0.3, 0.05  # of the inversion


def images(
    below: Below,
    rows: Float[Tensor, "u f"],
    mean: Float[Tensor, "c h w"],
    bounds: tuple[float, float],
    n: int,
    steps: int,
    generator: torch.Generator,
) -> Candidates:
    """At most 2n images, in the precision of the mean image, those whose features are met best first: their cosine is the confidence.

    Args:
        rows: the layer's weights, or their change.
        mean: of the training images, or the best guess of it.
        bounds: of the pixels.
        n: training images.
        steps: of the inversion.
    """
    sought = _components(below, rows, n, generator)
    if not len(sought):  # nothing has moved
        return Candidates(mean[None].clone(), mean.new_zeros(1))
    with torch.no_grad():
        typical = below(torch.zeros_like(mean)[None].to(next(iter(below.weights.values()))))[0].double()
    toward = sought.sum(1) if bool((typical >= 0).all()) else sought @ typical
    sought = torch.where(toward < 0, -1, 1)[:, None] * sought
    found, met = inverted(below, sought[: 2 * n].to(mean), mean, bounds, steps, LR, SMOOTH, START, generator)
    order = met.argsort(descending=True, stable=True)
    return Candidates(found[order], met[order])


def _components(below: Below, rows: Float[Tensor, "u f"], n: int, generator: torch.Generator) -> Float[Tensor, "m f"]:
    """Unit vectors, the most stable ones over the passes first."""
    basis = Spectrum.of(rows).directions(n, ABOVE)
    if not len(basis):
        return basis
    passes = []
    for share, differences in PASSES:
        part = basis[: max(2, round(share * len(basis)))]
        mixed = part.reshape(-1, *below.maps)
        found = components(mixed, differences, 150, generator)
        passes.append(torch.nn.functional.normalize(found @ part, dim=1))
    each = torch.cat(passes)
    alike = (each @ each.mT).abs()
    stability = torch.stack([part.amax(1) for part in alike.split([len(found) for found in passes], dim=1) if part.shape[1]], 1).mean(1)
    kept: list[int] = []
    for i in stability.argsort(descending=True, stable=True).tolist():
        if not kept or float(alike[i, kept].max()) < SAME:
            kept.append(i)
    return each[kept]
