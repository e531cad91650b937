"""Iurada et al. 2026: what training has added to the last layer lies in the span of its inputs at the training images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from attacks.claims import iurada2026
from attacks.kkt.change import change
from attacks.span.directions import directions
from bench.api import Architecture, Attack, Claim, Objective
from bench.registry import register
from bench.tracks.reconstruction import Release

BETAS, EPS = (0.9, 0.999), 1e-8
RIDGE = 1e-9  # of the mean square of the features, so that two candidates that are one make no singular matrix


@register
@dataclass(frozen=True)
class LastLayer(Attack):
    """n images x, of one contrast, that minimise ‖w − proj(w; φ(x₁) … φ(xₙ))‖² / ‖w‖², w the change of the last layer's weights.

    φ(x) is what the released network hands to its last layer, and the change of a layer under gradient descent is a weighted sum of its
    inputs. The multipliers are solved for and not searched. A law of the paper says when that gives the images away: the layer must have
    many more parameters than the images have numbers, p ≫ n·d.

    As in the paper: n candidates on a sphere, started at random. Own: the search is in the r = n directions that the first layer has moved
    in (Tansley et al. 2026, arXiv 2605.06519, do so too), where the law asks for p ≫ n·r; and Adam. The learning rate (of 0.02 and 0.1) and
    the steps (of 1000 and 3000) hardly mattered on seeds 100 to 102 of grid ``law``.
    """

    name: ClassVar[str] = "last_layer"
    paper: ClassVar[str] = "Iurada et al.: A Law of Data Reconstruction for Random Features (and Beyond). ICLR 2026 (arXiv 2509.22214)"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "initial_weights", "mean_image"})
    goes_by: ClassVar[Objective] = Objective("share of the last layer's change left unexplained", "lower")
    version: ClassVar[int | None] = 1
    claims: ClassVar[tuple[Claim, ...]] = iurada2026.CLAIMS

    steps: int = 1000
    lr: float = 0.1  # of a candidate of norm √r
    contrast: float = 0.2  # standard deviation of a candidate's pixels around the mean image

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs a fully connected first layer, this network is a {architecture.model}"

    def reconstruct(self, release: Release, generator: torch.Generator) -> Tensor:
        moved = change(release.weights, release.initial_weights, release.n_train)
        span = directions(moved["layers.0.weight"], release.n_train, 1.0).to(release.mean_image)
        radius = self.contrast * math.sqrt(span.shape[1])
        unexplained = objective(release, moved)

        def loss(x: Tensor) -> Tensor:
            return unexplained(radius * torch.nn.functional.normalize(x, dim=1) @ span)

        x = torch.randn(release.n_train, len(span), generator=generator).to(span)
        first, second = torch.zeros_like(x), torch.zeros_like(x)
        for step in range(1, self.steps + 1):  # Adam's, written out: torch.optim imports seconds of compiler on its first use
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                slope = torch.autograd.grad(loss(x), x)[0]
            first.lerp_(slope, 1 - BETAS[0])
            second.mul_(BETAS[1]).addcmul_(slope, slope, value=1 - BETAS[1])
            rate = self.lr * 0.5 * (1 + math.cos(math.pi * step / self.steps))
            root = (second / (1 - BETAS[1] ** step)).sqrt() + EPS
            x = x.detach() - rate * first / (1 - BETAS[0] ** step) / root
        pixels = radius * torch.nn.functional.normalize(x, dim=1) @ span
        return release.mean_image + pixels.reshape(-1, *release.mean_image.shape)


def objective(release: Release, moved: dict[str, Tensor]) -> Callable[[Float[Tensor, "m d"]], Float[Tensor, ""]]:
    """What gives, for images less the mean, the share of the last layer's change that their features cannot explain, 0 to 1 (their
    equation 5, for all outputs together).

    Args:
        moved: change of the weights, by name.
    """
    last = f"layers.{len(release.architecture.hidden)}"
    wanted = moved[f"{last}.weight"].double()  # outputs × features
    bias = moved.get(f"{last}.bias")
    if bias is not None:
        wanted = torch.cat([wanted, bias.double()[:, None]], 1)
    width = wanted.shape[1] - (bias is not None)
    body = {name: w for name, w in release.weights.items() if not name.startswith(last)}
    body[f"{last}.weight"] = torch.eye(width).to(release.mean_image)  # a last layer that hands its inputs through
    if bias is not None:
        body[f"{last}.bias"] = torch.zeros(width).to(release.mean_image)

    def unexplained(x: Tensor) -> Tensor:
        features = release.forward(body, x.reshape(-1, *release.architecture.input_shape)).double()
        if bias is not None:
            features = torch.cat([features, features.new_ones(len(features), 1)], 1)
        gram = features @ features.mT
        gram = gram + RIDGE * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
        seen = features @ wanted.mT  # m × outputs
        return 1 - (seen * torch.cholesky_solve(seen, torch.linalg.cholesky(gram))).sum() / wanted.square().sum()

    return unexplained
