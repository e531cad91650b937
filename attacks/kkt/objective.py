"""How far candidate images and multipliers are from making the released weights a KKT point.

    L_KKT   = ‖θ − (1/m) Σᵢ λᵢ ∇θ gᵢ‖²                                     (Haim et al. 2022, eq. 7; Buzaglo et al. 2023, eq. 9)
    L_prior = Σ relu(x − 1)² + relu(−1 − x)² + 5 Σ relu(λ_min − λ)²         (Haim et al. 2022, eq. 8 and appendix A)

with gᵢ = yᵢ Φ(xᵢ) (``binary``), Φ_y(xᵢ) − max over j ≠ y of Φ_j(xᵢ) (``multiclass``), Φ(xᵢ) (``regression``). The published formula has
no 1/m; the authors' code does. Sums over the last two dimensions keep a leading dimension of stacked runs apart.

For ``regression`` a candidate has a signed multiplier for each output, Σ_k λ_ik ∇θ Φ_k(xᵢ). In place of θ stands what an attack says that
the gradients add up to: the weights' change θ(T) − θ(0), of which Loo et al. 2024 say what is said above of θ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from attacks.kkt.mask import Mask, layer_indices, parameter_weights, weighted
from attacks.kkt.surrogate import activation, slope

Kind = Literal["binary", "multiclass", "regression"]


def output_seed(kind: Kind, out: Float[Tensor, "*b m k"], labels: Int[Tensor, "*b m"]) -> Float[Tensor, "*b m k"]:
    """The gradient of gᵢ by the outputs. Constant almost everywhere, so no gradient flows through it."""
    if kind == "regression":  # a multiplier each in place of one seed: see `output_gradient`
        return torch.ones_like(out)
    if kind == "binary":
        return (2 * labels - 1).to(out.dtype).unsqueeze(-1)
    own = labels.unsqueeze(-1)
    rival = out.detach().scatter(-1, own, -torch.inf).argmax(-1, keepdim=True)
    return torch.zeros_like(out.detach()).scatter(-1, own, 1.0).scatter(-1, rival, -1.0)  # one_hot would read numbers back


def output_gradient(kind: Kind, seed: Float[Tensor, "*b m k"], lam: Float[Tensor, "*b _"]) -> Float[Tensor, "*b m k"]:
    """The gradient of (1/m) Σᵢ λᵢ gᵢ by the outputs.

    Args:
        lam: m multipliers; for ``regression`` m·k, those of a candidate side by side.
    """
    m = seed.shape[-2]
    return lam.unflatten(-1, (m, -1)) / m if kind == "regression" else seed * (lam / m).unsqueeze(-1)


def kkt_loss(
    kind: Kind,
    name: str,
    weights: Mapping[str, Float[Tensor, "*b _ _"]],
    x: Float[Tensor, "*b m d"],
    lam: Float[Tensor, "*b _"],
    labels: Int[Tensor, "*b m"],
    alpha: Tensor,
    mask: Mask | None = None,
    sought: Mapping[str, Tensor] | None = None,
) -> Float[Tensor, "*b"]:
    """L_KKT of an MLP, the layers' gradients in closed form: Σᵢ λᵢ δᵢ aᵢᵀ. Only this expression is differentiated, never a backward pass.

    Args:
        name: the activation.
        weights: ``layers.L.weight`` (… out in) and ``layers.L.bias`` (… 1 out); their leading dimensions match x's.
        alpha: sharpness of the surrogate slope; broadcasts against (… m width).
        lam: a multiplier each; for ``regression`` one for each output, those of a candidate side by side.
        mask: weights on the residual, with leading dimensions as x's; None: all 1.
        sought: what the gradients are to add up to, of the shapes of ``weights``; None: the weights themselves.
    """
    sought = weights if sought is None else sought
    activate = activation(name, alpha)
    depth = sum(1 for key in weights if key.endswith("weight"))
    inputs, slopes, a = [], [], x
    for layer in range(depth):
        inputs.append(a)
        w, b = weights[f"layers.{layer}.weight"], weights.get(f"layers.{layer}.bias")
        z = a @ w.mT if b is None else a @ w.mT + b
        if layer < depth - 1:
            a = activate(z)
            slopes.append(slope(name, z, a, alpha))
    delta = output_gradient(kind, output_seed(kind, z, labels), lam)
    loss = x.new_zeros(())
    for layer in reversed(range(depth)):
        w, b = weights[f"layers.{layer}.weight"], sought.get(f"layers.{layer}.bias")
        loss = loss + weighted(sought[f"layers.{layer}.weight"] - delta.mT @ inputs[layer], mask, layer).square().sum((-2, -1))
        if b is not None:
            loss = loss + weighted(b - delta.sum(-2, keepdim=True), mask, layer, bias=True).square().sum((-2, -1))
        if layer > 0:
            delta = (delta @ w) * slopes[layer - 1]
    return loss


def kkt_loss_general(
    kind: Kind,
    name: str,
    forward: Callable[..., Tensor],
    weights: Mapping[str, Tensor],
    x: Float[Tensor, "*b m c h w"],
    lam: Float[Tensor, "*b _"],
    labels: Int[Tensor, "*b m"],
    alpha: Tensor,
    mask: Mask | None = None,
    sought: Mapping[str, Tensor] | None = None,
) -> Float[Tensor, "*b"]:
    """L_KKT of any network that `forward(weights, x, activation)` computes, through a differentiable backward pass.

    Args:
        weights: with leading dimensions as x's, which `forward` must then take (`stacks` tells whether it does).
        alpha: sharpness of the surrogate slope; broadcasts against whatever `forward` gives its activation (ours: … m units).
        mask: weights on the residual, with leading dimensions as x's; None: all 1.
        sought: as of `kkt_loss`.
    """
    leaves = {key: w.detach().requires_grad_() for key, w in weights.items()}
    out = forward(leaves, x, activation(name, alpha))
    total = (out * output_gradient(kind, output_seed(kind, out, labels), lam)).sum()
    grads = torch.autograd.grad(total, list(leaves.values()), create_graph=True)
    layers, loss = layer_indices(weights), x.new_zeros(())
    for (key, w), grad in zip(leaves.items(), grads, strict=True):
        residual, factor = (w.detach() if sought is None else sought[key]) - grad, parameter_weights(mask, key, w, layers)
        loss = loss + (residual if factor is None else factor * residual).square().flatten(x.dim() - 4).sum(-1)
    return loss


def stacks(forwards: Sequence[Callable[..., Tensor]], weights: Mapping[str, Float[Tensor, "b ..."]], shape: tuple[int, ...]) -> bool:
    """Whether the first of these functions computes all the networks at once, from weights and inputs with a leading dimension.

    Asked by trying: on two random inputs a network it must give what each network's own function gives. A function that was not written
    for stacks raises an error, or gives something else.

    Args:
        shape: of an input, c × h × w.
    """
    like = next(iter(weights.values()))
    x = torch.randn(len(forwards), 2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(like)
    with torch.no_grad():
        own = torch.stack([f({key: w[i] for key, w in weights.items()}, x[i]) for i, f in enumerate(forwards)])
        try:
            together = forwards[0](weights, x)
        except Exception:  # whatever a function raises that was not written for it
            return False
    scale = 1e-3 if like.dtype == torch.float32 else 1e-9  # of the largest output: products are summed up in another order
    return together.shape == own.shape and bool((together - own).abs().max() <= scale * own.abs().max())


def prior_loss(kind: Kind, x: Float[Tensor, "*b m d"], lam: Float[Tensor, "*b m"], min_lambda: Tensor) -> Float[Tensor, "*b"]:
    """L_prior: centred pixels within [−1, 1], and multipliers above λ_min except for ``regression``, whose multipliers are signed."""
    box = (F.relu(x - 1).square() + F.relu(-1 - x).square()).sum((-2, -1))
    return box if kind == "regression" else box + 5 * F.relu(min_lambda - lam).square().sum(-1)
