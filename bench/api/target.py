"""A trained network under attack: its release, its secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.api.setting import Setting

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


@dataclass(frozen=True)
class Secret:
    """What only the scorer sees: the training images, and controls drawn alike and never trained on. A track's own may hold more."""

    members: Float[Tensor, "n c h w"]  # in [0, 1]
    member_labels: Int[Tensor, " n"]
    controls: Float[Tensor, "n c h w"]
    control_labels: Int[Tensor, " n"]


@dataclass(frozen=True)
class Target:
    """A trained network: what is released, what is secret, and facts about the training for the row."""

    id: str
    setting: Setting
    release: Any  # its track's Release with every tier filled; narrowed, it is what an attack may see
    secret: Any  # its track's Secret
    facts: Mapping[str, Any] = field(default_factory=dict)  # train_accuracy, test_accuracy, train_loss, kkt_residual, …
