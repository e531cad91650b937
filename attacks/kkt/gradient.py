"""The gradient of `objective.kkt_loss` by candidates and multipliers, written out: one forward and one backward sweep, no autograd.

With δ_L = (λ/m)·seed, P_l = δ_{l+1} W_{l+1}, δ_l = P_l ∘ s_l and residuals R_l = M_l² ∘ (W_l − δ_lᵀ a_{l−1}), M the mask (1 without one),
the adjoints, all of them divided by −2, are from the first layer up

    Δ_1 = D_1,   Δ_{l+1} = D_{l+1} + (Δ_l ∘ s_l) W_{l+1}ᵀ,   D_l = a_{l−1} R_lᵀ (+ r_l for a bias),

and, from the last hidden layer down, with s' the slope's own derivative and Z_L = 0 (the seed is constant),

    Ā_l = δ_{l+1} R_{l+1} + Z_{l+1} W_{l+1},   Z_l = Δ_l ∘ P_l ∘ s'_l + Ā_l ∘ s_l,   −½ ∂L/∂x = Ā_0.

Where there are few candidates beside a layer's widths, R_l is not needed: with the Gram matrices K = a_{l−1} a_{l−1}ᵀ (+ 1 for a bias) and
G = δ_l δ_lᵀ of the candidates, and the products z_l and P_{l−1} = δ_l W_l that there are anyway,

    D_l = z_l − K δ_l,   δ_l R_l = δ_l W_l − G a_{l−1}.

Where the gradients are to add up to something else than the weights, that stands in place of W_l in R_l, and there are no Gram matrices.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from attacks.kkt.mask import Mask, weighted
from attacks.kkt.objective import Kind, output_gradient, output_seed
from attacks.kkt.rounding import rounded
from attacks.kkt.surrogate import activation, into_preactivation, kinked_slope, slope

BLOCKS = 4  # a side of a Gram matrix at most: 10 of 16 are multiplied
ROWS = 125  # of a block at least: smaller products take longer than they spare


@torch.no_grad()
def kkt_gradient(
    kind: Kind,
    name: str,
    weights: Mapping[str, Float[Tensor, "b _ _"]],
    x: Float[Tensor, "b m d"],
    lam: Float[Tensor, "b _"],
    labels: Int[Tensor, "b m"],
    alpha: Tensor,
    want_loss: bool = True,
    mask: Mask | None = None,
    scratch: dict[str, Tensor] | None = None,
    sought: Mapping[str, Float[Tensor, "b _ _"]] | None = None,
) -> tuple[Float[Tensor, " b"], Float[Tensor, "b m d"], Float[Tensor, "b _"]]:
    """L_KKT of a stack of MLPs (zeros unless wanted), and its gradients by x and λ. Arguments as in `objective.kkt_loss`.

    Args:
        scratch: tensors kept from call to call of one shape, an empty mapping at first. A fresh tensor of candidates × width costs its
            pages each time, which takes longer than the arithmetic on it. The gradient by x is one of them: use it before the next call.
    """
    W = [weights[f"layers.{i}.weight"] for i in range(sum(1 for key in weights if key.endswith("weight")))]
    bias = [weights.get(f"layers.{i}.bias") for i in range(len(W))]
    depth, m = len(W), x.shape[-2]
    whole = weights if sought is None else sought
    plain = sought is not None or mask is not None or want_loss or rounded(x)  # z − K δ is a small difference: few bits would not do
    grams = [not plain and i < depth - 1 and gram_pays(m, w.shape[-2], w.shape[-1], x.is_cuda) for i, w in enumerate(W)]

    def room(what: str, layer: int, *shape: int) -> Tensor:
        kept = {} if scratch is None else scratch
        key = f"{what}.{layer}"
        if key not in kept:
            kept[key] = x.new_empty(len(x), *shape)
        return kept[key]

    inputs, slopes, before, a = [x], [], [], x
    for i in range(depth):
        b, width = bias[i], W[i].shape[-2]
        if i == depth - 1 and kind != "multiclass":
            break  # the seed does not depend on the outputs
        out = room("z", i, m, width)
        z = torch.bmm(a, W[i].mT, out=out) if b is None else torch.baddbmm(b, a, W[i].mT, out=out)
        if i < depth - 1:
            if name == "relu":
                a = torch.clamp(z, min=0, out=room("a", i, m, width))
                s = kinked_slope(z, alpha, 0.0, out=room("s", i, m, width))
            else:
                a = activation(name, alpha)(z)
                s = slope(name, z, a, alpha)
            inputs.append(a)
            slopes.append(s)
            before.append(z)

    seed = output_seed(kind, z if kind == "multiclass" else lam.unflatten(-1, (m, -1)), labels)
    delta = [output_gradient(kind, seed, lam)]  # δ of the layers, the last one first until reversed
    carried = []  # P
    for i in reversed(range(1, depth)):
        P = torch.bmm(delta[-1], W[i], out=room("P", i, m, W[i].shape[-1]))
        carried.append(P)
        delta.append(torch.mul(P, slopes[i - 1], out=room("delta", i, m, W[i].shape[-1])))
    delta.reverse()
    carried.reverse()

    loss = x.new_zeros(len(x))
    residual: list[Tensor | None] = []
    up = None
    adjoints = []  # Δ
    for i in range(depth):
        b, width = bias[i], W[i].shape[-2]
        out = room("D", i, m, width)
        if grams[i]:
            residual.append(None)
            K = gram(inputs[i], room("K", i, m, m))
            D = torch.baddbmm(before[i], K if b is None else K.add_(1), delta[i], alpha=-1, out=out)
        else:
            R = torch.baddbmm(whole[f"layers.{i}.weight"], delta[i].mT, inputs[i], alpha=-1, out=room("R", i, *W[i].shape[-2:]))
            r = None if b is None else whole[f"layers.{i}.bias"] - delta[i].sum(-2, keepdim=True)
            if want_loss:
                loss += weighted(R, mask, i).square().sum((-2, -1))
                if r is not None:
                    loss += weighted(r, mask, i, bias=True).square().sum((-2, -1))
            if mask is not None:
                R = weighted(R, mask, i, squared=True)
                r = None if r is None else weighted(r, mask, i, bias=True, squared=True)
            residual.append(R)
            D = torch.bmm(inputs[i], R.mT, out=out) if r is None else torch.baddbmm(r, inputs[i], R.mT, out=out)
        if up is not None:
            D.baddbmm_(up, W[i].mT)
        adjoints.append(D)
        if i < depth - 1:
            up = torch.mul(D, slopes[i], out=room("up", i, m, width))
    by_output = adjoints[-1] * seed
    grad_lam = (by_output.flatten(-2) if kind == "regression" else by_output.sum(-1)).mul_(-2 / m)

    into_z = None  # Z of the layer above
    for i in reversed(range(depth)):
        t = adjoints[i - 1].mul_(carried[i - 1]) if i > 0 else None
        own = residual[i]
        if own is not None:
            into_a = torch.bmm(delta[i], own, out=room("into", i, m, W[i].shape[-1]))
        else:  # δ W: there already, or in one product with what comes from above
            into_a = carried[i - 1] if i > 0 else room("into", i, m, W[i].shape[-1])
            G = gram(delta[i], room("G", i, m, m))
            if i > 0:
                into_a.baddbmm_(G, inputs[i], alpha=-1)
            else:
                torch.bmm(G, inputs[i], out=into_a).neg_()
                assert into_z is not None
                into_z.add_(delta[i])
        if into_z is not None:
            into_a.baddbmm_(into_z, W[i])
        if t is not None:
            into_z = into_preactivation(name, into_a, t, before[i - 1], inputs[i], slopes[i - 1], alpha)
    return loss, into_a.mul_(-2), grad_lam


def gram_pays(m: int, out: int, inputs: int, cuda: bool = False) -> bool:
    """Whether two Gram matrices of m candidates and a product with each are cheaper than three products of a layer's size."""
    blocks = gram_blocks(m, cuda)
    return (3 * blocks + 1) * m * (inputs + out) < 6 * blocks * inputs * out  # (B + 1) / 2B of a Gram matrix is multiplied


def gram_blocks(m: int, cuda: bool = False) -> int:
    """Blocks B a side of a Gram matrix; those below the diagonal are copied. 1 on a GPU: many small products would wait for launches."""
    return 1 if cuda else max(1, min(BLOCKS, m // ROWS))


def gram(a: Float[Tensor, "b m k"], out: Float[Tensor, "b m m"]) -> Float[Tensor, "b m m"]:
    """a aᵀ into ``out``, symmetric to rounding; by blocks, of 1 000 rows, in 0.7 of the time of the product."""
    m = a.shape[-2]
    blocks = gram_blocks(m, a.is_cuda)
    if blocks == 1:
        return torch.bmm(a, a.mT, out=out)
    for low, high in itertools.pairwise(m * i // blocks for i in range(blocks + 1)):
        torch.bmm(a[:, low:high], a[:, low:].mT, out=out[:, low:high, low:])
        out[:, low:high, :low] = out[:, :low, low:high].mT
    return out


def prior_gradient(
    kind: Kind, x: Float[Tensor, "b m d"], lam: Float[Tensor, "b _"], min_lambda: Tensor
) -> tuple[Float[Tensor, "b m d"], Float[Tensor, "b _"] | None]:
    """The gradient of `objective.prior_loss` by the candidates' centred pixels and, unless the multipliers are signed, by λ.

    Of candidates in a row space `box` has the first.
    """
    return F.softshrink(x, 1.0).mul_(2), multiplier_gradient(kind, lam, min_lambda)


def multiplier_gradient(kind: Kind, lam: Float[Tensor, "b _"], min_lambda: Tensor) -> Float[Tensor, "b _"] | None:
    """The gradient of 5 Σ relu(λ_min − λ)²; None for signed multipliers."""
    return None if kind == "regression" else (min_lambda - lam).clamp_(min=0).mul_(-10)
