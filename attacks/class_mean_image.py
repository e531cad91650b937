"""Control: what the classes look like on average, by images that the network never saw."""

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
class ClassMeanImage(Attack):
    """Submits 2n images: for each class the mean of the public images that the network puts there, at rising contrast.

    Contrast is the distance from the mean image, which the class mean has at 1. Public images come without labels, and classes to which
    the network assigns none are left out.
    The highest contrast (of 1, 2, 3, 5) was chosen by the score on grid `quick`, seeds 100 to 104.
    """

    name: ClassVar[str] = "class_mean_image"
    paper: ClassVar[str] = "none: a control"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "public_images"})
    version: ClassVar[int | None] = 1

    highest: float = 2.0  # contrast of the last candidate of a class; that of the first is 1

    def reconstruct(self, release: Release, generator: torch.Generator) -> Tensor:
        mean, public = release.mean_image, release.public_images
        out = release.forward(release.weights, public - mean)
        predicted = (out[:, 0] > 0).long() if out.shape[1] == 1 else out.argmax(1)
        apart = torch.stack([public[predicted == k].mean(0) - mean for k in predicted.unique().tolist()])
        each = -(-2 * release.n_train // len(apart))
        contrast = torch.linspace(1, self.highest, each).to(mean).view(-1, 1, 1, 1, 1)
        images = (mean + contrast * apart).flatten(0, 1)[: 2 * release.n_train]  # the classes in turn
        return images.clamp(*release.input_range)
