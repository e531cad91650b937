"""The convolutions of a cnn: the sizes of their feature maps, and the pass through them for many networks at once.

Each convolution has a square kernel with zero padding ⌊k/2⌋ and, after its activation, may halve the image: by its own stride of 2 (in
place of pooling), by 2×2 max pooling, or by 2×2 average pooling. Max pooling has PyTorch's subgradient: all to the first largest pixel.

Networks of a stack are the groups of one grouped convolution, feature maps in the layout images × (networks · channels) × h × w. On a CPU
this, a loop of convolutions and a batched product of unfolded patches take the same time to within the noise at a stride of 2 (five
networks, 20 or 40 images of 3×32×32, one or two convolutions, through the second derivative); at full resolution with two convolutions the
patches are a third to a half slower. On a GPU the loop is as many kernels a layer as there are networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bench.api import Architecture
from bench.errors import BenchError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def feature_maps(architecture: Architecture) -> list[tuple[int, int, int]]:
    """Channels, height and width of what each convolution hands on, after its pooling; empty for an mlp.

    Raises:
        BenchError: an image that is too small for so many poolings.
    """
    _, h, w = architecture.input_shape
    sizes: list[tuple[int, int, int]] = []
    for number, width in enumerate(architecture.channels, start=1):
        h, w = convolved(architecture, h), convolved(architecture, w)
        if architecture.pooling in ("max", "avg"):
            if min(h, w) < 2:
                raise BenchError(
                    f"images of {architecture.input_shape[1]}×{architecture.input_shape[2]} are too small for "
                    f"{len(architecture.channels)} convolutions with {architecture.pooling} pooling",
                    expected=f"2×2 pixels or more before pooling {number}",
                    got=f"{h}×{w}",
                    hint="--set pooling=none, or fewer channels",
                )
            h, w = h // 2, w // 2
        sizes.append((width, h, w))
    return sizes


def convolved(architecture: Architecture, side: int) -> int:
    """The side of a feature map before pooling, from that of its input."""
    stride = 2 if architecture.pooling == "stride" else 1
    return (side + 2 * (architecture.kernel // 2) - architecture.kernel) // stride + 1


def activations_per_image(architecture: Architecture) -> int:
    """Numbers that one image becomes in one network: feature maps before and after pooling, and hidden units; for estimates of memory."""
    _, h, w = architecture.input_shape
    total = sum(architecture.hidden)
    for channels, below, beside in feature_maps(architecture):
        h, w = convolved(architecture, h), convolved(architecture, w)
        total += channels * (h * w + (below * beside if architecture.pooling in ("max", "avg") else 0))
        h, w = below, beside
    return total


def convolve(
    architecture: Architecture,
    weights: Mapping[str, Tensor],
    x: Float[Tensor, "*#stack n c h w"],
    activate: Callable[[Tensor], Tensor],
) -> Float[Tensor, "*#stack n features"]:
    """The last feature maps of centred inputs, flattened. Leading dimensions of weights (``layers.L.weight``: … out in k k) and inputs
    broadcast.

    Args:
        activate: is given pre-activations as … × n × (out · h · w), whatever the stack, so that a value a network broadcasts.
    """
    import torch
    import torch.nn.functional as F

    stack = torch.broadcast_shapes(weights["layers.0.weight"].shape[:-4], x.shape[:-4])
    shared = weights["layers.0.weight"].dim() == 4  # one network: the leading dimensions of the inputs are just more images
    n, networks = x.shape[-4], 1 if shared else math.prod(stack)
    if shared:
        a = x.reshape(-1, *x.shape[-3:])
    else:
        a = x.expand(*stack, *x.shape[-4:]).reshape(networks, *x.shape[-4:]).transpose(0, 1).flatten(1, 2)
    stride = 2 if architecture.pooling == "stride" else 1
    for layer in range(len(architecture.channels)):
        w, b = weights[f"layers.{layer}.weight"], weights.get(f"layers.{layer}.bias")
        if not shared:
            w = w.expand(*stack, *w.shape[-4:]).reshape(-1, *w.shape[-3:])
            b = None if b is None else b.expand(*stack, b.shape[-1]).reshape(-1)
        z = F.conv2d(a, w, b, stride=stride, padding=architecture.kernel // 2, groups=networks)
        a = _images(activate(_units(z, stack, n, shared)), z.shape, shared)
        if architecture.pooling == "max":
            a = F.max_pool2d(a, 2)
        elif architecture.pooling == "avg":
            a = F.avg_pool2d(a, 2)
    return _units(a, stack, n, shared)


def _units(maps: Tensor, stack: tuple[int, ...], n: int, shared: bool) -> Tensor:
    """Feature maps as … × n × (out · h · w)."""
    if shared:
        return maps.reshape(*stack, n, -1)
    return maps.unflatten(1, (math.prod(stack), -1)).transpose(0, 1).flatten(-3).unflatten(0, stack)


def _images(units: Tensor, shape: tuple[int, ...], shared: bool) -> Tensor:
    """The inverse of `_units`."""
    if shared:
        return units.reshape(shape)
    return units.flatten(0, -3).transpose(0, 1).reshape(shape)
