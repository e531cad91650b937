"""The networks under attack, fully connected (mlp) or convolutional (cnn): their public description, initial weights and forward pass.

A network is an `Architecture` and a mapping of tensors; the forward pass is a pure function of both, so that weights can be stacked
(a leading dimension of many networks), differentiated, and handed to an attack without an object that carries anything else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from bench.api import Architecture, Setting
from bench.targets.convolutions import convolve, feature_maps

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor


def architecture(setting: Setting, input_shape: tuple[int, int, int], classes: int) -> Architecture:
    """The public description of the network that a setting trains.

    Args:
        input_shape: channels, height, width.
        classes: number of classes of the task; two classes under bce, mse or huber share one output.

    Raises:
        BenchError: images that are too small for a cnn's poolings.
    """
    outputs = 1 if classes == 2 and setting.loss != "ce" else classes
    described = Architecture(
        model=setting.model,
        input_shape=input_shape,
        hidden=setting.hidden,
        outputs=outputs,
        activation=setting.activation,
        bias=setting.bias,
        loss=setting.loss,
    )
    if setting.model == "cnn":
        described = replace(described, channels=setting.channels, kernel=setting.kernel, pooling=setting.pooling)
    feature_maps(described)
    return described


def layer_widths(architecture: Architecture) -> list[int]:
    """Widths of the fully connected layers, input and output included: [D, hidden…, outputs]. Of a cnn, D is the size of what its
    convolutions hand on."""
    maps = feature_maps(architecture)
    return [math.prod(maps[-1] if maps else architecture.input_shape), *architecture.hidden, architecture.outputs]


def weight_shapes(architecture: Architecture) -> list[tuple[int, ...]]:
    """The shape of each layer's weight, the first layer first: out × in × k × k of a convolution, out × in of a fully connected layer."""
    k, channels = architecture.kernel, [architecture.input_shape[0], *architecture.channels]
    convolutions = [(fan_out, fan_in, k, k) for fan_in, fan_out in pairwise(channels)]
    return [*convolutions, *((fan_out, fan_in) for fan_in, fan_out in pairwise(layer_widths(architecture)))]


def has_bias(architecture: Architecture, layer: int) -> bool:
    """Whether a layer, counted from 0, has a bias."""
    return architecture.bias == "all" or (architecture.bias == "first" and layer == 0)


def weight_names(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The shape of every weight and bias, by name."""
    named: dict[str, tuple[int, ...]] = {}
    for layer, full in enumerate(weight_shapes(architecture)):
        named[f"layers.{layer}.weight"] = full
        if has_bias(architecture, layer):
            named[f"layers.{layer}.bias"] = full[:1]
    return named


def initial_weights(architecture: Architecture, init_scale: float | None, generator: torch.Generator) -> dict[str, Tensor]:
    """Weights before training, float64.

    The first layer's W and b are init_scale·N(0, 1) (Haim et al. 2022, appendix B); every other layer, and the first where
    init_scale is None, has PyTorch's default: U(−1/√fan_in, 1/√fan_in), with fan_in the inputs of one unit (in · k² of a convolution).
    """
    import torch

    weights: dict[str, Tensor] = {}
    for layer, full in enumerate(weight_shapes(architecture)):
        fan_in = math.prod(full[1:])
        shapes = {"weight": full} | ({"bias": full[:1]} if has_bias(architecture, layer) else {})
        for name, shape in shapes.items():
            if layer == 0 and init_scale is not None:
                value = torch.randn(shape, generator=generator, dtype=torch.float64) * init_scale
            else:
                value = (torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1) / math.sqrt(fan_in)
            weights[f"layers.{layer}.{name}"] = value
    return weights


def forward(
    architecture: Architecture,
    weights: Mapping[str, Tensor],
    x: Float[Tensor, "*#stack n c h w"],
    activation: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "*#stack n k"]:
    """Outputs (logits) for centred inputs. Leading dimensions of weights and inputs broadcast.

    Args:
        activation: replaces the network's own, for attacks that smooth its derivative. It is given pre-activations as
            … × n × units, feature maps flattened.
    """
    activate = activation or activation_function(architecture.activation)
    convolutions = len(architecture.channels)
    a = convolve(architecture, weights, x, activate) if convolutions else x.flatten(-3)
    last = convolutions + len(architecture.hidden)
    for layer in range(convolutions, last + 1):
        a = a @ weights[f"layers.{layer}.weight"].mT
        bias = weights.get(f"layers.{layer}.bias")
        if bias is not None:
            a = a + bias.unsqueeze(-2)
        if layer < last:
            a = activate(a)
    return a


def bound_forward(architecture: Architecture) -> Callable[..., Tensor]:
    """``forward`` with its architecture filled in: what a Release carries."""
    return partial(forward, architecture)


def activation_function(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of that name, with PyTorch's default parameters (leaky_relu slope 0.01, elu α 1, exact gelu)."""
    import torch
    import torch.nn.functional as F

    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "relu": torch.relu,
        "leaky_relu": F.leaky_relu,
        "elu": F.elu,
        "gelu": F.gelu,
        "silu": F.silu,
        "softplus": F.softplus,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
    }
    return functions[name]


def activation_slope(name: str, z: Tensor) -> Tensor:
    """The derivative of the activation at z, elementwise; 0 at the kink of relu, as in PyTorch."""
    import torch

    if name == "relu":
        return (z > 0).to(z.dtype)
    if name == "leaky_relu":
        return (z > 0).to(z.dtype) * 0.99 + 0.01
    if name == "elu":
        return torch.where(z > 0, torch.ones_like(z), torch.exp(z.clamp(max=0)))
    if name == "gelu":
        return torch.special.ndtr(z) + z * torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    if name == "silu":
        s = torch.sigmoid(z)
        return s * (1 + z * (1 - s))
    if name == "softplus":
        return torch.sigmoid(z)
    if name == "tanh":
        return 1 - torch.tanh(z) ** 2
    if name == "sigmoid":
        s = torch.sigmoid(z)
        return s * (1 - s)
    raise KeyError(name)
