"""Control: model inversion, which finds what a class looks like to the network, not what its training images were."""

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
class ModelInversion(Attack):
    """Gradient ascent on a class's logit from noisy starts, with an L2 prior and pixels kept in range; 2n images, all classes alike."""

    name: ClassVar[str] = "model_inversion"
    paper: ClassVar[str] = "Fredrikson, Jha, Ristenpart: Model Inversion Attacks that Exploit Confidence Information. CCS 2015"
    role: ClassVar[str] = "control"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image"})
    version: ClassVar[int | None] = 1

    steps: int = 200
    lr: float = 0.05  # Adam
    start_std: float = 0.1  # noise around the mean image at the start, in pixels
    l2: float = 0.01  # weight of the mean squared distance from the mean image, per pixel sum

    def reconstruct(self, release: Release, generator: torch.Generator) -> Tensor:
        mean, m = release.mean_image, 2 * release.n_train
        x = torch.randn(m, *mean.shape, generator=generator).to(mean) * self.start_std
        classes = max(release.architecture.outputs, 2)
        label = (torch.arange(m, device=mean.device) * classes) // m
        x.requires_grad_()
        optimizer = torch.optim.Adam([x], lr=self.lr)
        for _ in range(self.steps):
            out = release.forward(release.weights, x)
            logit = out[:, 0] * (2 * label - 1) if out.shape[1] == 1 else out.log_softmax(1)[torch.arange(m), label]
            loss = (-logit + self.l2 * x.square().sum((1, 2, 3))).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                x.copy_((x + mean).clamp(*release.input_range) - mean)
        return (x.detach() + mean).clamp(*release.input_range)
