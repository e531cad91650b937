"""The row space of the first layer, in which the training images lie.

Gradient descent moves the first layer only inside the span of the (centred) training images. From a small initialisation, or after
enough weight decay, nothing else is left in W₁, so the candidates can be sought as x = c Vᵣᵀ with Vᵣ the top right singular vectors:
r numbers an image in place of D. SGD commutes with the rotation, so the search follows the same path inside that space (Adam would not).
Where noise of the initialisation is left in W₁, all of its row space will do: the gradient of L_KKT at candidates inside lies inside, and
outside there is nothing to explain, so that a candidate's part there only adds to the loss.
A convolution's kernels lie in the span of patches, k × k pixels each, which says nothing of where an image lies: there is no such space.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bench.precision import pinned

KEPT_ENERGY = 0.99  # "auto" reduces only if the top n_train directions hold this share of ‖W₁‖²


@pinned()  # the Gram matrix is of float32, and its small eigenvalues say whether there is a space
def row_space(W1: Float[Tensor, "out d"], n_train: int, rank: str | int) -> Float[Tensor, "d r"] | None:
    """Orthonormal columns Vᵣ, or None to search all pixels.

    Args:
        rank: ``"auto"`` (n_train directions if they hold 99 % of the energy, else none), ``"images"`` (n_train directions), ``"rows"``
            (all directions of W₁, if they are fewer than the pixels), ``"none"``, or a number of directions.
    """
    if rank == "none":
        return None
    if rank == "rows":
        if W1.shape[0] >= W1.shape[1]:
            return None
        return torch.linalg.qr(W1.double().mT)[0].to(W1.dtype)
    r = n_train if rank in ("auto", "images") else int(rank)
    if r >= min(W1.shape):
        return None
    values, vectors = torch.linalg.eigh((W1.mT @ W1 if W1.shape[1] <= W1.shape[0] else W1 @ W1.mT).double())
    values, vectors = values.flip(0), vectors.flip(1)
    if rank == "auto" and values[:r].sum() < KEPT_ENERGY * values.sum():
        return None
    if W1.shape[1] > W1.shape[0]:  # eigenvectors of W Wᵀ are the left ones; map them over
        vectors = (W1.double().mT @ vectors[:, :r]) / values[:r].clamp(min=1e-300).sqrt()
    return torch.linalg.qr(vectors[:, :r])[0].to(W1.dtype)
