"""The gradient of `objective.kkt_loss` for one hidden layer and one output, in a third of the passes over candidates × width.

With one output δ₂ = λ·seed/m is a number a candidate, so δ₁ = δ₂ ∘ s ∘ w₂ is never written down: the row w₂ and the column δ₂ go to the
small side of each product. With X = [x, 1] (the bias is the weight of a constant input) and W₁ = [W₁, b]:

    R₁ = M₁² ∘ (W₁ − w₂ ∘ sᵀ(δ₂ ∘ X)),   R₂ = M₂² ∘ (w₂ − δ₂ᵀ a),   D = X R₁ᵀ,   t = D ∘ s'
    −½ ∂L/∂λ = (a R₂ᵀ + (D ∘ s) w₂ᵀ) ∘ seed/m,   −½ ∂L/∂x = δ₂ ∘ (s (w₂ ∘ R₁ + R₂ ∘ W₁) + t (w₂ ∘ W₁))

with s the slope, s' its derivative and M the mask; where the gradients are to add up to something else than the weights, that stands in
place of W₁ and w₂ in R₁ and R₂. `gradient` has the same for any depth and any number of outputs; they agree to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attacks.kkt.mask import Mask, weighted
from attacks.kkt.objective import Kind
from attacks.kkt.surrogate import SATURATED, activation, curvature_times, slope


def fits(kind: Kind, weights: Mapping[str, Tensor], m: int) -> bool:
    """Whether a stack of networks has one hidden layer, one output whose seed does not depend on the candidates, and a first layer small
    enough beside m candidates that passes over its weights are the cheaper ones."""
    depth = sum(1 for name in weights if name.endswith("weight"))
    return (
        kind != "multiclass" and depth == 2 and weights["layers.1.weight"].shape[-2] == 1 and weights["layers.0.weight"].shape[-1] <= 2 * m
    )


class Shallow:
    """Gradients of one stack; what does not change from step to step is made once.

    Args:
        weights, labels, alpha, mask, sought: as of `gradient.kkt_gradient`.
        like: the candidates, b × m × d; says shape, precision and device.
    """

    @torch.no_grad()
    def __init__(
        self,
        kind: Kind,
        name: str,
        weights: Mapping[str, Float[Tensor, "b _ _"]],
        labels: Int[Tensor, "b m"],
        alpha: Tensor,
        like: Float[Tensor, "b m d"],
        mask: Mask | None = None,
        sought: Mapping[str, Float[Tensor, "b _ _"]] | None = None,
    ) -> None:
        self.name, self.alpha, self.mask = name, alpha, mask
        b, m, self.d = like.shape
        W1 = _first(weights)
        # all that is of the first layer's size lies transposed, b × d × width: passes over mixed layouts take thrice the time
        self.W1 = W1.mT.contiguous()
        self.inner = self.W1[:, : self.d]
        self.w2 = weights["layers.1.weight"]
        whole = weights if sought is None else sought
        self.sought1 = self.W1 if sought is None else _first(sought).mT.contiguous()
        self.sought2, self.b2 = whole["layers.1.weight"], whole.get("layers.1.bias")
        self.X = like.new_ones(b, m, W1.shape[-1])  # the last column stays 1 where there is a bias
        sign = torch.ones_like(like[..., 0]) if kind == "regression" else (2 * labels - 1).to(like.dtype)
        self.share = (sign / m).unsqueeze(-1)  # seed/m
        # relu is homogeneous: with αW₁ in place of W₁ the first product is αz, and a/α takes the place of a
        self.scale = alpha if name == "relu" else torch.ones_like(alpha)
        self.column = self.w2.mT.contiguous()  # w₂, b × width × 1
        self.into_hidden, self.bend = torch.empty_like(self.W1), torch.empty_like(self.inner)
        self.sharpen()
        # a fresh tensor of this size costs its pages in every step: more than the arithmetic on it
        self.z, self.a, self.D, self.t = (like.new_empty(b, m, W1.shape[-2]) for _ in range(4))

    @torch.no_grad()
    def sharpen(self) -> None:
        """Takes note of a change of ``alpha``."""
        torch.mul(self.W1, self.scale, out=self.into_hidden)
        torch.mul(self.w2 * self.inner, self.scale, out=self.bend)  # the side of t; relu's s' = α s(1 − s)

    @torch.no_grad()
    def __call__(
        self, x: Float[Tensor, "b m d"], lam: Float[Tensor, "b m"], want_loss: bool = False
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b m d"], Float[Tensor, "b m"]]:
        """L_KKT of each run (zeros unless wanted), and its gradients by x and λ."""
        X, relu = self.X, self.name == "relu"
        X[..., : self.d].copy_(x)
        delta = self.share * lam.unsqueeze(-1)
        z = torch.bmm(X, self.into_hidden, out=self.z)
        if relu:
            a = torch.clamp(z, min=0, out=self.a)
            s = z.clamp_(-SATURATED, SATURATED).sigmoid_()
        else:
            a = activation(self.name, self.alpha)(z)
            s = slope(self.name, z, a, self.alpha)

        R1 = torch.addcmul(self.sought1, torch.bmm((X * delta).mT, s), self.w2, value=-1)  # transposed, b × d × width
        R2 = torch.baddbmm(self.sought2, (delta / self.scale).mT, a, alpha=-1)
        r2 = None if self.b2 is None else self.b2 - delta.sum(-2, keepdim=True)
        loss = x.new_zeros(len(x))
        if want_loss:
            loss += self._weighted(R1, squared=False).square().sum((-2, -1)) + weighted(R2, self.mask, 1).square().sum((-2, -1))
            if r2 is not None:
                loss += weighted(r2, self.mask, 1, bias=True).square().sum((-2, -1))
        if self.mask is not None:
            R1, R2 = self._weighted(R1, squared=True), weighted(R2, self.mask, 1, squared=True)
            r2 = None if r2 is None else weighted(r2, self.mask, 1, bias=True, squared=True)

        D = torch.bmm(X, R1, out=self.D)
        by_delta = torch.bmm(a, (R2 / self.scale).mT)
        if relu:
            up = D.mul_(s)
            t = torch.addcmul(up, up, s, value=-1, out=self.t)
        else:
            up = D * s
            t = curvature_times(self.name, D, z, a, s, self.alpha)
        by_delta.baddbmm_(up, self.column)
        if r2 is not None:
            by_delta += r2
        by_lam = by_delta.mul_(self.share).mul_(-2).squeeze(-1)
        side = torch.mul(R1[:, : self.d], self.w2).addcmul_(self.inner, R2)
        by_x = torch.bmm(side, s.mT).baddbmm_(self.bend, t.mT).mT.mul_(delta.mul_(-2))
        return loss, by_x, by_lam

    def _weighted(self, R1: Tensor, *, squared: bool) -> Tensor:
        """The first layer's residual (transposed, its bias the last row) under the mask; column weights leave the bias alone."""
        inner = weighted(R1[..., : self.d, :].mT, self.mask, 0, squared=squared).mT
        if R1.shape[-2] == self.d:
            return inner
        return torch.cat([inner, weighted(R1[..., self.d :, :], self.mask, 0, bias=True, squared=squared)], -2)


def _first(weights: Mapping[str, Float[Tensor, "b _ _"]]) -> Float[Tensor, "b _ _"]:
    """The first layer, its bias the last column where it has one."""
    bias = weights.get("layers.0.bias")
    return weights["layers.0.weight"] if bias is None else torch.cat([weights["layers.0.weight"], bias.mT], -1)
