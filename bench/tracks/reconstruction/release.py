"""What an attack of this track may see, and what only its scorer sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench import api
from bench.api import Oracle
from bench.granted import granted

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Release(api.Release):
    """A trained network: its weights, or an ``oracle`` that answers for it, or both, as the tiers say.

    ``forward(weights, x)`` maps centred inputs (image − mean of the training images), Float[Tensor, "n c h w"], to outputs
    Float[Tensor, "n k"]; it is a pure function, differentiable by weights and inputs. Attacks return images in [0, 1], centred inputs
    plus ``mean_image``; whether to add or rescale is the attack's own last step.
    """

    weights: Mapping[str, Tensor] = granted("final_weights")  # named as in Architecture
    forward: Callable[[Mapping[str, Tensor], Tensor], Tensor] = granted("final_weights")
    mean_image: Float[Tensor, "c h w"] = granted("mean_image")  # of the training images
    initial_weights: Mapping[str, Tensor] = granted("initial_weights")
    public_images: Float[Tensor, "n c h w"] = granted("public_images")
    oracle: Oracle = granted("query_labels", "queries", "input_gradients")  # the network behind an interface that counts its answers

    @property
    def device(self) -> torch.device:
        """Where its tensors are, or else the oracle, and where the answer is expected."""
        return self.oracle.device if hasattr(self, "oracle") else super().device


@dataclass(frozen=True)
class Secret(api.Secret):
    """Beside members and controls, what is known of them."""

    # of the released network: member_margin and control_margin (gᵢ at each image), multiplier (λᵢ of each member)
    stationarity: Mapping[str, Tensor] = field(default_factory=dict)
    # where a defence plants inputs: member and control, bool, the planted ones and the unplanted beside them
    planted: Mapping[str, Tensor] = field(default_factory=dict)
    # what could be found at all (``findable``): columns of the score row; and of members and controls the share inside the span
    findable: Mapping[str, Any] = field(default_factory=dict)
    span: Mapping[str, Tensor] = field(default_factory=dict)
    other: Float[Tensor, "m c h w"] | None = None  # members of the next seed that the attack cannot have met (``bench.data.split``)
    lookalikes: Float[Tensor, "l c h w"] | None = None  # neither members nor controls, and nobody is handed them; None: there are none
    mean_image: Float[Tensor, "c h w"] | None = None  # which the network subtracts, where it is not the mean of the members
