"""What an attack of this track may see. What only its scorer sees is what that of the track ``reconstruction`` sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import api
from bench.granted import granted
from bench.tracks.reconstruction.release import Secret

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

__all__ = ["Release", "Secret"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Release(api.Release):
    """A trained network, and the candidates: its training images and controls among each other. The answer is one score a candidate.

    ``forward`` is that of the track ``reconstruction``: it takes centred images.
    """

    weights: Mapping[str, Tensor]  # named as in Architecture
    forward: Callable[[Mapping[str, Tensor], Tensor], Tensor]
    images: Float[Tensor, "m c h w"]  # in [0, 1], in an order that tells nothing (see ``candidates``)
    labels: Int[Tensor, " m"]  # those trained with; of a control that of its kind
    mean_image: Float[Tensor, "c h w"] = granted("mean_image")  # of the training images
