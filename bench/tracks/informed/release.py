"""What an attack of this track may see, and what only its scorer sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench import api
from bench.granted import granted

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Release(api.Release):
    """T networks at once. Each saw the known images and one of its own; the answer is T images, the i-th for the i-th network.

    ``forward`` is that of the track ``reconstruction``.
    """

    weights: Mapping[str, Tensor]  # T × …, named as in Architecture
    forward: Callable[[Mapping[str, Tensor], Tensor], Tensor]
    mean_image: Float[Tensor, "c h w"] = granted("mean_image")  # which all the networks subtract
    initial_weights: Mapping[str, Tensor] = granted("initial_weights")  # of all of them, without a leading axis
    known_images: Float[Tensor, "n c h w"] = granted("known_data")
    known_labels: Int[Tensor, " n"] = granted("known_data")
    shadow_images: Float[Tensor, "s c h w"] = granted("shadow_data")  # same distribution, disjoint from known images, members and controls
    shadow_labels: Int[Tensor, " s"] = granted("shadow_data")
    # the recipe: images b × c × h × w, labels b → weights b × …
    train: Callable[[Tensor, Tensor], dict[str, Tensor]] = granted(frozenset({"known_data", "initial_weights"}))
    keep: Callable[[str, Callable[[], Mapping[str, Tensor]]], dict[str, Tensor]]  # computes once under a name, then reads


@dataclass(frozen=True)
class Secret(api.Secret):
    """The image that each network alone saw, and controls of the same labels."""

    pool: Mapping[str, Tensor] = field(default_factory=dict)  # of each member's nearest image of the pool: pool_mse, pool_ssim, pool_lpips
