"""The span of the first layer from outside: gradients of the outputs by the image, as they are told or by differences of the outputs.

Wherever it is taken, the gradient is Σⱼ gⱼ W₁ⱼ over the units j of the first layer: weights that differ from question to question, rows
that do not.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bench.tracks.reconstruction import Release


def questions(release: Release, count: int, noise: float, generator: torch.Generator) -> Float[Tensor, "q c h w"]:
    """Public images, drawn with replacement, with Gaussian noise on each, in the range of images."""
    public = release.public_images
    chosen = public[torch.randint(len(public), (count,), generator=generator).to(public.device)]
    low, high = release.input_range
    return (chosen + noise * torch.randn(chosen.shape, generator=generator).to(public)).clamp(low, high)


def by_gradients(release: Release, asked: Float[Tensor, "q c h w"], generator: torch.Generator) -> Float[Tensor, "q d"]:
    """At each image the gradient of a random sum of the outputs; q answers."""
    return release.oracle.gradients(asked, _sums(release, len(asked), generator)[:, None]).flatten(1)


def by_differences(release: Release, asked: Float[Tensor, "q c h w"], step: float, generator: torch.Generator) -> Float[Tensor, "q d"]:
    """The same from outputs alone, by a step in each pixel value: (d + 1)·q answers."""
    return along(release, asked, torch.eye(asked[0].numel()), step, generator)


def along(
    release: Release, asked: Float[Tensor, "q c h w"], basis: Float[Tensor, "k d"], step: float, generator: torch.Generator
) -> Float[Tensor, "q d"]:
    """The part of the gradients in an orthonormal basis, by a step along each of its directions: (k + 1)·q answers."""
    sums, basis = _sums(release, len(asked), generator).to(asked), basis.to(asked)
    steps = step * basis.reshape(-1, *asked.shape[1:])
    rows = []
    for image, weights in zip(asked, sums, strict=True):
        outputs = release.oracle.logits(torch.cat([image[None], image + steps]))
        rows.append((outputs[1:] - outputs[:1]) @ weights.to(outputs) / step)
    return torch.stack(rows) @ basis


def _sums(release: Release, count: int, generator: torch.Generator) -> Float[Tensor, "q k"]:
    """Weights of the outputs, a row a question; of a single output ±1 would tell no more than 1."""
    k = release.architecture.outputs
    return torch.randn(count, k, generator=generator) if k > 1 else torch.ones(count, 1)
