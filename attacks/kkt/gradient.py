"""The gradient of `objective.kkt_loss` by candidates and multipliers, written out: one forward and one backward sweep, no autograd.

With δ_L = (λ/m)·seed, P_l = δ_{l+1} W_{l+1}, δ_l = P_l ∘ s_l and residuals R_l = M_l² ∘ (W_l − δ_lᵀ a_{l−1}), M the mask (1 without one),
the adjoints are, from the first layer up,

    Δ_1 = D_1,   Δ_{l+1} = D_{l+1} + (Δ_l ∘ s_l) W_{l+1}ᵀ,   D_l = −2 a_{l−1} R_lᵀ (− 2 r_l for a bias),

and, from the last hidden layer down, with s' the slope's own derivative and Z_L = 0 (the seed is constant),

    Ā_l = −2 δ_{l+1} R_{l+1} + Z_{l+1} W_{l+1},   Z_l = Δ_l ∘ P_l ∘ s'_l + Ā_l ∘ s_l,   ∂L/∂x = Ā_0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from attacks.kkt.mask import Mask, weighted
from attacks.kkt.objective import Kind, output_seed
from attacks.kkt.surrogate import activation, curvature_times, slope


@torch.no_grad()
def kkt_gradient(
    kind: Kind,
    name: str,
    weights: Mapping[str, Float[Tensor, "b _ _"]],
    x: Float[Tensor, "b m d"],
    lam: Float[Tensor, "b m"],
    labels: Int[Tensor, "b m"],
    alpha: Tensor,
    want_loss: bool = True,
    mask: Mask | None = None,
) -> tuple[Float[Tensor, " b"], Float[Tensor, "b m d"], Float[Tensor, "b m"]]:
    """L_KKT of a stack of MLPs (zeros unless wanted), and its gradients by x and λ. Arguments as in `objective.kkt_loss`."""
    W = [weights[f"layers.{i}.weight"] for i in range(sum(1 for key in weights if key.endswith("weight")))]
    bias = [weights.get(f"layers.{i}.bias") for i in range(len(W))]
    depth, m = len(W), x.shape[-2]
    activate = activation(name, alpha)

    inputs, slopes, before, a = [x], [], [], x
    for i in range(depth):
        b = bias[i]
        z = torch.bmm(a, W[i].mT) if b is None else torch.baddbmm(b, a, W[i].mT)
        if i < depth - 1:
            a = activate(z)
            inputs.append(a)
            slopes.append(slope(name, z, a, alpha))
            before.append(z)

    seed = output_seed(kind, z, labels)
    delta = [seed * (lam / m).unsqueeze(-1)]  # δ of the layers, the last one first until reversed
    carried = []  # P
    for i in reversed(range(1, depth)):
        carried.append(torch.bmm(delta[-1], W[i]))
        delta.append(carried[-1] * slopes[i - 1])
    delta.reverse()
    carried.reverse()

    loss = x.new_zeros(len(x))
    residual, up = [], None
    adjoints = []  # Δ
    for i in range(depth):
        R = torch.baddbmm(W[i], delta[i].mT, inputs[i], alpha=-1)
        b = bias[i]
        r = None if b is None else b - delta[i].sum(-2, keepdim=True)
        if want_loss:
            loss += weighted(R, mask, i).square().sum((-2, -1))
            if r is not None:
                loss += weighted(r, mask, i, bias=True).square().sum((-2, -1))
        if mask is not None:
            R = weighted(R, mask, i, squared=True)
            r = None if r is None else weighted(r, mask, i, bias=True, squared=True)
        residual.append(R)
        D = torch.baddbmm(x.new_zeros(1, 1, 1) if r is None else r, inputs[i], R.mT, beta=-2, alpha=-2)
        if up is not None:
            D.baddbmm_(up, W[i].mT)
        adjoints.append(D)
        if i < depth - 1:
            up = D * slopes[i]
    grad_lam = (adjoints[-1] * seed).sum(-1) / m

    into_z = None  # Z of the layer above
    for i in reversed(range(depth)):
        into_a = torch.baddbmm(x.new_zeros(1, 1, 1), delta[i], residual[i], beta=0, alpha=-2)
        if into_z is not None:
            into_a.baddbmm_(into_z, W[i])
        if i > 0:
            bend = curvature_times(name, adjoints[i - 1].mul_(carried[i - 1]), before[i - 1], inputs[i], slopes[i - 1], alpha)
            into_z = into_a.mul_(slopes[i - 1]).add_(bend)
    return loss, into_a, grad_lam


def prior_gradient(
    kind: Kind, x: Float[Tensor, "b m d"], lam: Float[Tensor, "b m"], min_lambda: Tensor
) -> tuple[Float[Tensor, "b m d"], Float[Tensor, "b m"] | None]:
    """The gradient of `objective.prior_loss` by the candidates' centred pixels and, unless the multipliers are signed, by λ.

    Of candidates in a row space `box` has the first.
    """
    return F.softshrink(x, 1.0).mul_(2), multiplier_gradient(kind, lam, min_lambda)


def multiplier_gradient(kind: Kind, lam: Float[Tensor, "b m"], min_lambda: Tensor) -> Float[Tensor, "b m"] | None:
    """The gradient of 5 Σ relu(λ_min − λ)²; None for signed multipliers."""
    return None if kind == "regression" else (min_lambda - lam).clamp_(min=0).mul_(-10)
