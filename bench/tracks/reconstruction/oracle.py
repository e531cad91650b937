"""The oracle that knows which units are on at which training image. It is no attack: it shows what the equations alone are worth.

With one hidden layer and one output, a network at a stationary point has W₁ = Σᵢ λᵢ yᵢ (v ∘ sᵢ) xᵢᵀ and b₁ = Σᵢ λᵢ yᵢ (v ∘ sᵢ), where v is
the last layer and sᵢ the slopes of the units at image i (Haim et al. 2022, eq. 4, for the first layer). Whoever knows the slopes and the
labels knows all columns yᵢ (v ∘ sᵢ), and least squares gives λᵢ xᵢ and λᵢ, hence xᵢ, without a search. An attacker has to find the
patterns as well, so what this oracle misses is not lost for want of searching.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.api import Architecture
from bench.metrics.ssim import ssim_matrix
from bench.tracks.reconstruction.score import THRESHOLD
from bench.tracks.reconstruction.sides import allot, pair

BELOW = {"relu": 0.0, "leaky_relu": 0.01}  # activations that are on or off → slope of a unit that is off
CONTRAST = 0.1  # standard deviation around the mean image of an image whose scale is not told, as its λ is not told
RCOND = 1e-2  # of 1e-2, 1e-3, 1e-4 on `quick`, seeds 100 to 104: singular values below this share of the largest would only raise noise


def applies(architecture: Architecture) -> bool:
    """Whether the equations are linear in the images once the patterns are known."""
    one_layer = architecture.model == "mlp" and len(architecture.hidden) == 1 and architecture.outputs == 1
    return one_layer and architecture.activation in BELOW


def images_of(
    architecture: Architecture, weights: Mapping[str, Tensor], on: Bool[Tensor, "n units"], labels: Int[Tensor, " n"]
) -> Float[Tensor, "n d"]:
    """The training images by least squares, centred, in the order of the patterns.

    Args:
        on: which units are on at each training image.
        labels: 0 or 1.
    """
    first, last = weights["layers.0.weight"].double(), weights["layers.1.weight"].double()[0]
    slopes = torch.where(on, 1.0, BELOW[architecture.activation]).to(last)
    columns = (slopes * last * (2 * labels.to(last)[:, None] - 1)).mT  # units × n
    inverse = torch.linalg.pinv(columns, rtol=RCOND)
    scaled = inverse @ first  # λᵢ xᵢ
    bias = weights.get("layers.0.bias")
    share = torch.zeros(len(scaled)).to(scaled) if bias is None else inverse @ bias.double()
    size = share if architecture.loss == "bce" else share.abs()  # multipliers of other losses are signed
    told = size > 1e-9 * share.abs().max().clamp(min=1e-300)
    plain = CONTRAST * scaled / scaled.std(1, keepdim=True).clamp(min=1e-300)
    return torch.where(told[:, None], scaled / torch.where(told, share, 1.0)[:, None], plain)


def recalls(
    architecture: Architecture,
    weights: Mapping[str, Tensor],
    mean: Float[Tensor, "c h w"],
    members: Float[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    controls: Float[Tensor, "m c h w"],
) -> dict[str, float]:
    """Columns of the score row: the shares of members and of controls that the oracle's images match, scored as an answer is; none where
    the oracle does not apply."""
    if not applies(architecture):
        return {}
    first = weights["layers.0.weight"]
    mean, members, controls, labels = mean.to(first), members.to(first), controls.to(first), labels.to(first.device)
    on = (members - mean).flatten(1) @ first.mT + weights.get("layers.0.bias", first.new_zeros(())) > 0
    found = (images_of(architecture, weights, on, labels).to(mean).view_as(members) + mean).clamp(0, 1).float()
    return dict(zip(("pattern_oracle_members", "pattern_oracle_controls"), _recalls(found, members, controls), strict=True))


def exact(members: Float[Tensor, "n c h w"], controls: Float[Tensor, "m c h w"]) -> dict[str, float]:
    """Column of the score row: the excess recall of the members themselves, scored as an answer is. It is what no attack can exceed: 1,
    but for members that a control equals."""
    own, others = _recalls(members.float(), members, controls)
    return {"ceiling": own - others}


def _recalls(found: Float[Tensor, "k c h w"], members: Float[Tensor, "n c h w"], controls: Float[Tensor, "m c h w"]) -> tuple[float, float]:
    """The shares of members and of controls that some images match, by the score protocol."""
    similarity = ssim_matrix(torch.cat([members, controls]).float(), found).cpu()
    parts = similarity.split([len(members), len(controls)])
    first, second = (_recall(part, pair(part, mine)) for part, mine in zip(parts, allot(*parts), strict=True))
    return first, second


def _recall(similarity: Float[Tensor, "n k"], partner: Int[Tensor, " n"]) -> float:
    paired = similarity.gather(1, partner.clamp(min=0)[:, None])[:, 0]
    return float(((partner >= 0) & (paired > THRESHOLD)).double().mean())
