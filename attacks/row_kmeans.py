"""Control: clusters of the first layer's rows, each looked at as an image around the mean image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from bench.api import Architecture, Attack
from bench.registry import register
from bench.tracks.reconstruction import Release

TINY = 1e-12


@register
@dataclass(frozen=True)
class RowKmeans(Attack):
    """Submits the centres of k-means on the directions of the rows, at one contrast around the mean image, the heaviest cluster first.

    A row is a weighted sum of the training images at which its unit is on, so what units share is a picture already, without any attack.
    The contrast (of 0.05, 0.1, 0.15, 0.2) and two centres an image (of one, two) were chosen by the score on `quick`, seeds 100 to 104.
    """

    name: ClassVar[str] = "row_kmeans"
    paper: ClassVar[str] = "none: a control"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    version: ClassVar[int | None] = 1

    centres_per_image: int = 2
    contrast: float = 0.1  # standard deviation of a candidate's pixels around the mean image
    steps: int = 50  # of Lloyd's algorithm, at most

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs a fully connected first layer, this network is a {architecture.model}"

    def reconstruct(self, release: Release, generator: torch.Generator) -> Tensor:
        rows = release.weights["layers.0.weight"].double()
        weight = rows.norm(dim=1)
        points = rows / weight.clamp(min=TINY)[:, None]
        centres, owner = kmeans(points, self.centres_per_image * release.n_train, self.steps, generator)
        heaviest = torch.zeros(len(centres)).to(weight).index_add_(0, owner, weight).argsort(descending=True)
        found = centres[heaviest] / centres[heaviest].std(1, keepdim=True).clamp(min=TINY)
        images = (self.contrast * found).reshape(-1, *release.architecture.input_shape).to(release.mean_image)
        return (release.mean_image + images).clamp(*release.input_range)


def kmeans(points: Float[Tensor, "n d"], k: int, steps: int, generator: torch.Generator) -> tuple[Float[Tensor, "j d"], Tensor]:
    """Centres, and of each point the centre that it belongs to; fewer than k where there are fewer points, or a cluster runs empty.

    Starts by k-means++ (Arthur and Vassilvitskii 2007): each further centre is a point drawn with a chance that grows with its squared
    distance to the nearest one. Then Lloyd's algorithm, to the end or for so many steps.
    """
    chosen = [int(torch.randint(len(points), (), generator=generator))]
    nearest = (points - points[chosen[0]]).square().sum(1)
    while len(chosen) < min(k, len(points)):
        reached = nearest.cumsum(0)
        if not reached[-1] > 0:  # all points stand on centres
            break
        draw = torch.rand((), generator=generator, dtype=torch.float64).to(reached) * reached[-1]
        chosen.append(min(int(torch.searchsorted(reached, draw, right=True)), len(points) - 1))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(1))
    centres = points[chosen]
    owner = torch.cdist(points, centres).argmin(1)
    for _ in range(steps):
        count = torch.bincount(owner, minlength=len(centres)).to(points)
        sums = torch.zeros_like(centres).index_add_(0, owner, points)
        centres = (sums / count.clamp(min=1)[:, None])[count > 0]
        before, owner = owner, torch.cdist(points, centres).argmin(1)
        if torch.equal(owner, before):
            break
    return centres, owner
