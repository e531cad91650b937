"""The pass of stacked mlps forwards and back, in closed form.

Autograd has the gradient of a product by its transposed factor the wrong way round for Adam's fused step, and turning it round is a copy of
all weights: a fifth of a training step of small networks on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from bench.api import Architecture
from bench.targets.models import activation_function, activation_slope


@torch.no_grad()
def passed(
    architecture: Architecture, weights: Mapping[str, Tensor], x: Float[Tensor, "b n c h w"]
) -> tuple[Float[Tensor, "b n k"], Callable[[Tensor], list[Tensor]]]:
    """Outputs of B mlps for centred inputs of each, as `forward` gives them, and what makes of the gradient of the loss by the outputs
    (B × n × k) the gradients by the weights, in the order and layout of ``weights``."""
    last = len(architecture.hidden)
    activate = activation_function(architecture.activation)
    inputs, z = [x.flatten(2)], []
    for layer in range(last + 1):
        W, bias = weights[f"layers.{layer}.weight"].mT, weights.get(f"layers.{layer}.bias")
        z.append(torch.bmm(inputs[-1], W) if bias is None else torch.baddbmm(bias.unsqueeze(1), inputs[-1], W))
        if layer < last:
            inputs.append(activate(z[-1]))

    @torch.no_grad()
    def back(delta: Tensor) -> list[Tensor]:
        found: dict[str, Tensor] = {}
        for layer in reversed(range(last + 1)):
            found[f"layers.{layer}.weight"] = torch.bmm(delta.mT, inputs[layer])
            found[f"layers.{layer}.bias"] = delta.sum(1)
            if layer > 0:
                delta = torch.bmm(delta, weights[f"layers.{layer}.weight"])
                if architecture.activation == "relu":  # its slope and the product in one operator
                    delta = torch.ops.aten.threshold_backward(delta, z[layer - 1], 0)
                else:
                    delta = delta.mul_(activation_slope(architecture.activation, z[layer - 1]))
        return [found[name] for name in weights]

    return z[-1], back
