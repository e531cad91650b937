"""Where the missing image can be: the span of the known images, and one direction outside it that the weights give away.

Full-batch descent moves the first layer by sums of training images. What it moved by outside the span of the known ones can only be the
missing image's part outside: one direction, the leading singular vector of the change once the span is projected away. It is exact. So of
D pixels there remain r + 1 numbers, r being the rank of the known images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bench.tracks.informed import Release

RANK = 1e-6  # singular values below this share of the largest are rounding


@dataclass(frozen=True)
class Subspace:
    """An orthonormal basis of the centred known images, by falling variance, in float64."""

    mean: Float[Tensor, " d"]
    basis: Float[Tensor, "d r"]
    known: Float[Tensor, "n r"]  # the known images in it
    shape: tuple[int, int, int]

    @staticmethod
    def of(release: Release) -> Subspace:
        """That of a release's known images."""
        mean = release.mean_image.double().flatten()
        images = release.known_images.double().flatten(1) - mean
        _, values, vectors = torch.linalg.svd(images, full_matrices=False)
        basis = vectors[: int((values > RANK * values[0]).sum())].mT.contiguous()
        return Subspace(mean, basis, images @ basis, release.architecture.input_shape)

    def outside(self, rows: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        """What the span does not hold of each row."""
        return rows - rows @ self.basis @ self.basis.mT

    def direction(self, change: Float[Tensor, "h d"]) -> Float[Tensor, " d"]:
        """The unit vector of the missing image's part outside the span, up to its sign, from the first layer's change.

        Where the known images span all there is, there is no such part and this is rounding, which the solution then gives no weight.
        """
        return torch.linalg.svd(self.outside(change), full_matrices=False).Vh[0]

    def coordinates(self, images: Float[Tensor, "b c h w"], unit: Float[Tensor, " d"]) -> Float[Tensor, "b k"]:
        """Images as k = r + 1 numbers: r coordinates inside the span and one along the unit vector."""
        centred = images.double().flatten(1) - self.mean
        return torch.cat([centred @ self.basis, (centred @ unit)[:, None]], 1)

    def images(self, own: Float[Tensor, "b k"], unit: Float[Tensor, " d"]) -> Float[Tensor, "b c h w"]:
        """The way back, in [0, 1]."""
        pixels = self.mean + own[:, :-1] @ self.basis.mT + own[:, -1:] * unit
        return pixels.clamp(0, 1).float().view(-1, *self.shape)
