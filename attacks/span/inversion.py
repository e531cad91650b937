"""Images whose features are those sought: descent on the pixels, through the layers below, with a prior of smooth images."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

AT_ONCE = 64  # images in a stack
BETAS, EPS = (0.9, 0.999), 1e-8
ROUND = 1e-3  # differences of pixels below which the total variation is a square


def inverted(
    features: Callable[[Tensor], Tensor],
    sought: Float[Tensor, "m f"],
    mean: Float[Tensor, "c h w"],
    bounds: tuple[float, float],
    steps: int,
    lr: float,
    smooth: float,
    start_std: float,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "m c h w"], Float[Tensor, " m"]]:
    """Images in their range, and how well each one's features are met: their cosine with those sought, whose length is not known.

    Args:
        features: of images less the mean.
        bounds: of the pixels.
        steps: of Adam; its rate ``lr`` falls to 0.
        smooth: weight of the total variation, a mean over the pixels.
        start_std: of the noise around the mean image at the start, in pixels.
    """
    starts = torch.randn(len(sought), *mean.shape, generator=generator).to(mean) * start_std
    pieces = [
        _descend(features, F.normalize(part, dim=1), x, mean, bounds, steps, lr, smooth)
        for part, x in zip(sought.to(mean).split(AT_ONCE), starts.split(AT_ONCE), strict=True)
    ]
    images, met = (torch.cat(part) for part in zip(*pieces, strict=True))
    return images, met


def _descend(
    features: Callable[[Tensor], Tensor],
    unit: Tensor,
    x: Tensor,
    mean: Tensor,
    bounds: tuple[float, float],
    steps: int,
    lr: float,
    smooth: float,
) -> tuple[Tensor, Tensor]:
    low, high = (edge - mean for edge in bounds)
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(1, steps + 1):  # Adam's, written out: torch.optim imports seconds of compiler on its first use
        with torch.enable_grad():
            now = x.detach().requires_grad_()
            loss = smooth * variation(now).sum() - met(features(now), unit).sum()
            slope = torch.autograd.grad(loss, now)[0]
        first.lerp_(slope, 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(slope, slope, value=1 - BETAS[1])
        scale = (second.sqrt() / math.sqrt(1 - BETAS[1] ** step)).add_(EPS)
        rate = lr * (1 - (step - 1) / steps)
        x = (x - first / scale * (rate / (1 - BETAS[0] ** step))).clamp(low, high)
    with torch.no_grad():
        return x + mean, met(features(x), unit)


def met(features: Float[Tensor, "m f"], unit: Float[Tensor, "m f"]) -> Float[Tensor, " m"]:
    """Cosine with what is sought; 0 of no features."""
    return (F.normalize(features, dim=1) * unit).sum(1)


def variation(x: Float[Tensor, "m c h w"]) -> Float[Tensor, " m"]:
    """Total variation, per pixel: the mean of the absolute differences across plus that of those down."""
    across, down = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    return sum(((d.square() + ROUND**2).sqrt() - ROUND).flatten(1).sum(1) / max(1, d[0].numel()) for d in (across, down))  # type: ignore[return-value]
