"""Control: model inversion, which finds what a class looks like to the network, not what its training images were."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.api import Attack
from bench.registry import register
from bench.tracks.reconstruction import Release

BETAS, EPS = (0.9, 0.999), 1e-8  # PyTorch's


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

    @torch.no_grad()
    def reconstruct(self, release: Release, generator: torch.Generator) -> Tensor:
        mean, m = release.mean_image, 2 * release.n_train
        x = torch.randn(m, *mean.shape, generator=generator).to(mean) * self.start_std
        classes = max(release.architecture.outputs, 2)
        label = (torch.arange(m, device=mean.device) * classes) // m
        by_logit = slope_of_logit(release, label, x)
        low, high = (edge - mean for edge in release.input_range)
        first, second = torch.zeros_like(x), torch.zeros_like(x)
        for step in range(1, self.steps + 1):  # Adam's, written out: torch.optim imports seconds of compiler on its first use
            slope = by_logit(x).add(x, alpha=2 * self.l2)
            first.lerp_(slope, 1 - BETAS[0])
            second.mul_(BETAS[1]).addcmul_(slope, slope, value=1 - BETAS[1])
            scale = torch.sqrt(second, out=slope).div_(math.sqrt(1 - BETAS[1] ** step)).add_(EPS)
            x.addcdiv_(first, scale, value=-self.lr / (1 - BETAS[0] ** step)).clamp_(low, high)
        return (x + mean).clamp(*release.input_range)


def slope_of_logit(release: Release, label: Int[Tensor, " m"], like: Float[Tensor, "m c h w"]) -> Callable[[Tensor], Tensor]:
    """What gives, for images less the mean, the gradient of minus the logit of each one's class, m × c × h × w."""
    architecture = release.architecture
    if architecture.model == "mlp" and architecture.activation == "relu" and len(architecture.hidden) == 1 and architecture.outputs == 1:
        return OneHiddenLayer(release, label, like)
    rows = torch.arange(len(label), device=label.device)

    def by_autograd(x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            out = release.forward(release.weights, x)
            logit = out[:, 0] * (2 * label - 1) if out.shape[1] == 1 else out.log_softmax(1)[rows, label]
            return torch.autograd.grad(-logit.sum(), x)[0]

    return by_autograd


class OneHiddenLayer:
    """The same of a ReLU network with one hidden layer and one output, at the cost of a few looks at the network.

    Such a network is linear as long as no unit goes on or off. So an image's gradient is what it was at the last look until a unit's
    pre-activation z can have reached 0, for which the image must have moved by |z| / ‖w‖, w the unit's weights. After some twenty steps
    hardly a unit changes any more.
    """

    def __init__(self, release: Release, label: Int[Tensor, " m"], like: Float[Tensor, "m c h w"]) -> None:
        W1, w2 = release.weights["layers.0.weight"].to(like), release.weights["layers.1.weight"][0].to(like)
        bias = release.weights.get("layers.0.bias")
        matter = (W1 != 0).any(1) & (w2 != 0)  # the other units do nothing, or the same for all images
        self.W1, self.w2 = W1[matter], w2[matter]
        self.bias = W1.new_zeros(len(self.W1)) if bias is None else bias.to(like)[matter]
        self.lengths = self.W1.norm(dim=1)
        self.sign = (1 - 2 * label).to(like).unsqueeze(1)
        self.slope = torch.zeros_like(like)
        self.anchor = torch.zeros_like(like).flatten(1)  # at the last look
        self.reach = self.anchor.new_full((len(like),), -1.0)  # how far each image may be from there; none has been looked at yet
        self.looks = 0  # images looked at so far

    def __call__(self, x: Float[Tensor, "m c h w"]) -> Float[Tensor, "m c h w"]:
        flat = x.flatten(1)
        due = (torch.linalg.vector_norm(flat - self.anchor, dim=1) > self.reach).nonzero().squeeze(1)
        if len(due) and len(self.W1):
            self.looks += len(due)
            near = flat[due]
            z = torch.addmm(self.bias, near, self.W1.mT)
            self.anchor[due], self.reach[due] = near, (z.abs() / self.lengths).amin(1)
            self.slope.flatten(1)[due] = ((z > 0) * (self.sign[due] * self.w2)) @ self.W1
        return self.slope
