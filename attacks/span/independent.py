"""Independent components of image derivatives: which images in a span of images are single ones.

Differences of neighbouring pixels are sparse in natural images, and nearly independent from one image to another, whereas a mixture of
images has denser ones. So the basis of the span whose differences are most independent is that of the single images, each up to a factor.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

CONVERGED = 1e-5  # of the cosine between two steps of every component
DEGENERATE = 1e-9  # directions whose features have less than this share of the largest variance are no direction


def first_differences(images: Float[Tensor, "r c h w"]) -> Float[Tensor, "r f"]:
    """Between horizontal and between vertical neighbours."""
    across, down = images[..., 1:] - images[..., :-1], images[..., 1:, :] - images[..., :-1, :]
    return torch.cat([across.flatten(1), down.flatten(1)], 1)


def mixed_differences(images: Float[Tensor, "r c h w"]) -> Float[Tensor, "r f"]:
    """The difference across of the difference down: corners and points."""
    across = images[..., 1:] - images[..., :-1]
    return (across[..., 1:, :] - across[..., :-1, :]).flatten(1)


FEATURES: dict[str, Callable[[Tensor], Tensor]] = {"first": first_differences, "mixed": mixed_differences}


def components(basis: Float[Tensor, "r c h w"], features: str, steps: int, generator: torch.Generator) -> Float[Tensor, "k r"]:
    """Coefficients by the basis of the k ≤ r independent components, of unit variance in their features; none if images have no features.

    Symmetric FastICA (Hyvärinen 1999, with the contrast −exp(−y²/2)) on whitened features.

    Args:
        features: a name of ``FEATURES``.
    """
    seen = FEATURES[features](basis.double())
    if not seen.shape[1]:
        return seen.new_zeros(0, len(basis))
    variances, axes = torch.linalg.eigh(seen @ seen.mT / seen.shape[1])
    kept = variances > DEGENERATE * variances[-1]
    whiten = (axes[:, kept] * variances[kept].rsqrt()).mT
    white = (whiten @ seen).float()  # half the time, and far below the sampling error
    unmix = _nearest(torch.randn(len(white), len(white), generator=generator).to(white))
    for _ in range(steps):
        y = unmix @ white
        weight = (-y.square() / 2).exp()
        slope = ((1 - y.square()) * weight).mean(1, keepdim=True)
        before, unmix = unmix, _nearest((y * weight) @ white.mT / white.shape[1] - slope * unmix)
        if bool(((unmix * before).sum(1).abs() > 1 - CONVERGED).all()):
            break
    return unmix.double() @ whiten


def _nearest(matrix: Float[Tensor, "k k"]) -> Float[Tensor, "k k"]:
    """The nearest orthogonal matrix."""
    u, _, vh = torch.linalg.svd(matrix)
    return u @ vh
