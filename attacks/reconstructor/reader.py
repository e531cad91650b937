"""What the attacks that read a missing image off the weights have in common: their shadows and their reconstructor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from bench.api import Architecture, Attack
from bench.tracks.informed import Release


@dataclass(frozen=True)
class WeightReader(Attack):
    """A subclass says which of the weights are read."""

    track: ClassVar[str] = "informed"
    needs: ClassVar[frozenset[str]] = frozenset({"final_weights", "mean_image", "initial_weights", "known_data", "shadow_data"})

    shadows: int = 3000  # networks that the attacker trains, at most; no more than there are shadow images
    reconstructor: Literal["kernel", "network"] = "kernel"
    mirror: bool = False  # mirrored images as further shadows, for sets where these are as likely
    epochs: int = 30  # of the neural network's training

    def __post_init__(self) -> None:
        if self.shadows < 20 or self.reconstructor not in ("kernel", "network") or self.epochs < 1:
            raise ValueError("shadows is at least 20, epochs at least 1, reconstructor 'kernel' or 'network'")

    def unsupported(self, architecture: Architecture) -> str:
        return "" if architecture.model == "mlp" else f"needs fully connected layers, this network is a {architecture.model}"

    def memory(self, release: Release) -> int:
        weights = sum(w[0].numel() for w in release.weights.values())
        return 4 * self.shadows * (7 * weights + 6 * self.shadows)
