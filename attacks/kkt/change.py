"""What training has added to the weights: θ(T) − ρ θ(0), with ρ the share of the initial weights that weight decay has left.

Gradient descent gives W(T) = ρ W(0) + Σᵢ cᵢ aᵢᵀ, ρ = Π (1 − lr·decay), with aᵢ the inputs of the layer. In the first fully connected layer
the sum has rank n + 1 at most where it is the network's first; so outside the span of that sum W(T) is ρ W(0) and nothing else, and an
attacker who does not know the recipe reads ρ off there.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

ROUNDS = 30  # of finding the span by ρ, and ρ by the span
SETTLED = 1e-9  # change of ρ at which that ends


def decay_left(final: Float[Tensor, "out d"], initial: Float[Tensor, "out d"], rank: int) -> float:
    """ρ at which ``final`` − ρ ``initial`` has so low a rank, nearly; 1 where a matrix so small says nothing.

    Subspace iteration for the row space of the sum, and in every round a regression of ``final`` on ``initial`` outside of it.
    """
    if rank >= min(final.shape):
        return 1.0
    final, initial = final.double(), initial.double()
    start = torch.randn(len(final), rank, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(final)
    rho = float((final * initial).sum() / initial.square().sum())
    span = torch.linalg.qr(final.mT @ start)[0]
    for _ in range(ROUNDS):
        before = rho
        change = final - rho * initial
        span = torch.linalg.qr(change.mT @ (change @ span))[0]
        outside = initial - (initial @ span) @ span.mT
        rho = float((final * outside).sum() / outside.square().sum())
        if abs(rho - before) < SETTLED:
            break
    return rho


def change(final: Mapping[str, Tensor], initial: Mapping[str, Tensor], images: int) -> dict[str, Tensor]:
    """θ(T) − ρ θ(0), by layer, ρ read off the first fully connected layer."""
    first = next(name for name, w in final.items() if w.dim() == 2)
    rho = decay_left(final[first], initial[first], images + 1)
    return {name: w - rho * initial[name] for name, w in final.items()}
