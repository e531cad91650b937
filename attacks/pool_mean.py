"""Control: public images that add up to the mean of the training images, without a look at the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Attack
from bench.registry import register
from bench.tracks.reconstruction import Release


@register
@dataclass(frozen=True)
class PoolMean(Attack):
    """Fits the mean image by non-negative least squares on public images, and submits those of the largest weights.

    How far what is granted beside the network leads by itself. Were the training images among the public ones, their weights would be 1/n
    and the others' 0: whoever has the data set that they were drawn from, and the mean image, needs no network.
    """

    name: ClassVar[str] = "pool_mean"
    paper: ClassVar[str] = "none: a control"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"mean_image", "public_images"})
    version: ClassVar[int | None] = 1

    pool: int = 1000  # public images at most, drawn at random: a fit takes seconds for twice as many

    def reconstruct(self, release: Release, generator: torch.Generator) -> Tensor:
        from scipy.optimize import nnls

        order = torch.randperm(len(release.public_images), generator=generator)[: self.pool]
        images = release.public_images[order.to(release.device)]
        # the fit of columns q·r to a vector is that of r to its part along q, in fewer rows
        q, r = torch.linalg.qr(images.flatten(1).mT.double().cpu())
        weights, _ = nnls(r.numpy(), (q.mT @ release.mean_image.flatten().double().cpu()).numpy(), maxiter=100 * len(images))
        best = torch.from_numpy(weights).argsort(descending=True, stable=True)[: 2 * release.n_train]
        return images[best.to(images.device)]
