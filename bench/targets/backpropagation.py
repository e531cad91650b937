"""The pass of stacked mlps forwards and back, in closed form.

Autograd has the gradient of a product by its transposed factor the wrong way round for Adam's fused step, and turning it round is a copy of
all weights: a fifth of a training step of small networks on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from bench.api import Architecture
from bench.targets.models import activation_function, activation_slope


@torch.no_grad()
def passed(
    architecture: Architecture,
    weights: Mapping[str, Tensor],
    x: Float[Tensor, "b n *shape"],
    masks: Sequence[Float[Tensor, "b n _"]] = (),
) -> tuple[Float[Tensor, "b n k"], Callable[..., list[Tensor]]]:
    """Outputs of B mlps for centred inputs of each, as `forward` gives them, and what makes of the gradient of the loss by the outputs
    (B × n × k) the gradients by the weights, in the order and layout of ``weights``.

    Args:
        masks: what each hidden layer's activations are multiplied by, of all of them or of none.

    What makes the gradients takes a function, too, that says by how much each image's gradient is multiplied (B × n) from its squared norm
    over all weights, (B × n). The gradient of a layer's weights at an image is the outer product of what comes back and what came in, so
    its norm is the product of theirs, and no image's gradient is ever made.
    """
    last = len(architecture.hidden)
    activate = activation_function(architecture.activation)
    inputs, z = [x.flatten(2)], []
    for layer in range(last + 1):
        W, bias = weights[f"layers.{layer}.weight"].mT, weights.get(f"layers.{layer}.bias")
        z.append(torch.bmm(inputs[-1], W) if bias is None else torch.baddbmm(bias.unsqueeze(1), inputs[-1], W))
        if layer < last:
            inputs.append(activate(z[-1]))
            if masks:
                inputs[-1] = inputs[-1].mul(masks[layer])

    @torch.no_grad()
    def back(delta: Tensor, share: Callable[[Tensor], Tensor] | None = None) -> list[Tensor]:
        deltas = [delta]
        for layer in reversed(range(last)):
            delta = torch.bmm(delta, weights[f"layers.{layer + 1}.weight"])
            if masks:
                delta.mul_(masks[layer])
            if architecture.activation == "relu":  # its slope and the product in one operator
                delta = torch.ops.aten.threshold_backward(delta, z[layer], 0)
            else:
                delta = delta.mul_(activation_slope(architecture.activation, z[layer]))
            deltas.insert(0, delta)
        if share is not None:
            biases = [f"layers.{layer}.bias" in weights for layer in range(last + 1)]
            sizes = [d.square().sum(-1) * (a.square().sum(-1) + b) for d, a, b in zip(deltas, inputs, biases, strict=True)]
            by = share(torch.stack(sizes).sum(0)).unsqueeze(-1)
            deltas = [d * by for d in deltas]
        found: dict[str, Tensor] = {}
        for layer, d in enumerate(deltas):
            found[f"layers.{layer}.weight"] = torch.bmm(d.mT, inputs[layer])
            found[f"layers.{layer}.bias"] = d.sum(1)
        return [found[name] for name in weights]

    return z[-1], back
