"""What an attacker holds of a network, or of many shadows of it, when asking which parameters are redundant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from bench.api import Architecture


@dataclass(frozen=True)
class Evidence:
    """Weights of b networks of one architecture, and what is known of their training; what a detector does not need may be None.

    ``final`` has a leading axis of b networks, b = 1 for a single one. Images are centred: less the mean that the recipe subtracts.
    """

    architecture: Architecture
    final: Mapping[str, Tensor]
    initial: Mapping[str, Tensor] | None = None  # of all of them, without a leading axis
    known: Float[Tensor, "n c h w"] | None = None  # images that every network was trained on
    missing: Float[Tensor, "m c h w"] | None = None  # the image that network i alone was trained on, where it is known (shadows)
    left: float | Mapping[str, float] | None = None  # what decay left of an untouched weight, of all or by name; None: to be found

    def __post_init__(self) -> None:
        sizes = {name: len(w) for name, w in self.final.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"expected final weights with one leading axis of networks, got lengths {sizes}")
        for name, start in (self.initial or {}).items():
            if name not in self.final or self.final[name].shape[1:] != start.shape:
                got = tuple(self.final[name].shape[1:]) if name in self.final else "none"
                raise ValueError(f"{name}: initial {tuple(start.shape)}, final {got} beside the leading axis")
        if self.missing is not None and len(self.missing) != self.networks:
            raise ValueError(f"expected a missing image for each of {self.networks} networks, got {len(self.missing)}")

    @property
    def networks(self) -> int:
        """How many networks there are: b."""
        return len(next(iter(self.final.values())))
