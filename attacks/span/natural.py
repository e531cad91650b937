"""A span under noise, looked for where images are: noise is in all directions of pixel space, images are in few of them.

Seen in the leading principal directions of public images, the rows keep nearly all that they hold of images, and of white noise the share
of those directions among all. So weaker singular values stand out from the noise there. What was found is then seen in more of them, for
the finer parts of the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from attacks.span.directions import Spectrum

COARSE, FINE = 200, 400  # principal directions in which the noise is told from the images, and in which images are made of it


@dataclass(frozen=True)
class Natural:
    """The span of the rows, ranked above the noise in what public images are made of. It has the method that `Spectrum` has."""

    coarse: Spectrum  # of the rows in the leading principal directions
    rows: Float[Tensor, "u d"]  # float64
    fine: Float[Tensor, "k d"]

    @classmethod
    def of(cls, rows: Float[Tensor, "u d"], public: Float[Tensor, "m c h w"]) -> Natural:
        """Where there are fewer principal directions than `COARSE`, all are taken."""
        rows, directions = rows.double(), principal(public, FINE)
        return cls(Spectrum.of(rows @ directions[:COARSE].mT), rows, directions)

    def directions(self, n: int, above: float) -> Float[Tensor, "r d"]:
        """See `attacks.span.directions.directions`: the units are combined as the leading left singular vectors of the coarse rows say."""
        found = self.coarse.directions(n, above)
        units = self.coarse.rows @ found.mT
        combined = (units / units.norm(dim=0).clamp_min(1e-300)).mT @ self.rows
        return torch.linalg.qr((combined @ self.fine.mT @ self.fine).mT)[0].mT


def principal(public: Float[Tensor, "m c h w"], count: int) -> Float[Tensor, "k d"]:
    """Orthonormal principal directions of public images less their mean, float64, the leading ones first."""
    centred = (public - public.mean(0)).double().flatten(1)
    return torch.linalg.svd(centred, full_matrices=False)[2][:count]
